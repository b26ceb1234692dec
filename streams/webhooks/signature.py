"""Signs a webhook's body by the Standard Webhooks convention (standardwebhooks.com), so that a receiver knows who sent it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

_PREFIX = "whsec_"


def headers(message_id: str, at_s: int, body: bytes, secret: str) -> Mapping[str, str]:
    """Return the three headers of the convention: HMAC-SHA256 over id, time (Unix seconds) and body, joined by dots.

    A secret that begins with ``whsec_`` is base64, as the convention has it; any other is taken as it is.
    """
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    signature = base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}


def key_of(secret: str) -> bytes:
    """Return the bytes that a secret stands for; raises ValueError if it begins with ``whsec_`` and the rest is no base64."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {_PREFIX} is no base64") from None

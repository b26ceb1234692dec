"""How long a provider asks to be left alone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_RESETS = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")


def retry_after(headers: Mapping[str, str], now: datetime | None = None, *, limited: bool = True) -> float | None:
    """Return the seconds to wait that the headers ask for, or None if they ask for nothing readable.

    Read in this order: ``retry-after-ms``; ``retry-after`` as seconds (decimals too) or an HTTP date; the longer
    of the ``x-ratelimit-reset-*`` durations ("6m0s", "12ms"). These stand on every response of some providers, so they
    count only if the response says that a rate limit was met (``limited``). Header names are expected in lower case.
    """
    if (ms := _number(headers.get("retry-after-ms"))) is not None:
        return ms / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None:
        return seconds
    if value is not None and (seconds := _until(value, now or datetime.now(UTC))) is not None:
        return seconds
    if not limited:
        return None
    resets = [_duration(headers[name]) for name in _RESETS if name in headers]
    return max((reset for reset in resets if reset is not None), default=None)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(text: str, now: datetime) -> float | None:
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now.timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _duration(text: str) -> float | None:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return _number(text)
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)

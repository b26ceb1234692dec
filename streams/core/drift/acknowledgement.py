"""An operator's word that a policy is right for the model as it is now."""

from __future__ import annotations

from schemas import Alert, stable_id
from streams.core.drift.alert_kinds import WatchKind


def acknowledgement(endpoint: str, policy_id: str, by: str, note: str, at_ms: int) -> Alert:
    """Return the alert with which ``by`` acknowledges an endpoint's alerts at ``at_ms`` (Unix time, milliseconds)."""
    return Alert(
        alert_id=stable_id("alert", endpoint, WatchKind.ACKNOWLEDGED, str(at_ms)),
        source=endpoint,
        kind=WatchKind.ACKNOWLEDGED,
        at_ms=at_ms,
        summary=f"{endpoint}: acknowledged by {by}" + (f": {note}" if note else ""),
        details={"by": by, "note": note, "policy_id": policy_id},
    )

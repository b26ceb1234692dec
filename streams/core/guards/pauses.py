"""Which tiers an operator has paused, for maintenance: written as alerts, which every worker follows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from schemas import Alert, Tier, stable_id
from streams.core.guards.finding import AlertKind

_SOURCE: Final = "pause:"
_EVERYTHING: Final = "all"


def pause_alert(kind: AlertKind, tier: Tier | None, by: str, note: str, at_ms: int) -> Alert:
    """Return the alert with which somebody pauses or resumes a tier, or with ``None`` everything."""
    scope = tier or _EVERYTHING
    return Alert(
        alert_id=stable_id("alert", _SOURCE + scope, kind, str(at_ms)),
        source=_SOURCE + scope,
        kind=kind,
        at_ms=at_ms,
        summary=f"{scope}: {kind} by {by}" + (f": {note}" if note else ""),
        details={"by": by, "note": note},
    )


class Pauses:
    """Follows the alerts topic; of each scope (a tier, or everything) the last word counts."""

    def __init__(self) -> None:
        self._standing: dict[str, Alert] = {}

    @property
    def standing(self) -> tuple[Alert, ...]:
        """The alerts that paused what is paused, one of each scope."""
        return tuple(self._standing.values())

    @property
    def scopes(self) -> Collection[Tier | None]:
        """What is paused: tiers, and None for everything."""
        tiers: dict[str, Tier] = {"cheap": "cheap", "big": "big"}
        return [tiers.get(scope) for scope in self._standing]

    def update(self, alert: Alert) -> bool:
        """Take the next alert of the topic; return whether it changed what is paused."""
        scope = alert.source.removeprefix(_SOURCE)
        if alert.kind == AlertKind.PAUSED:
            before = self._standing.get(scope)
            self._standing[scope] = alert
            return before is None
        return alert.kind == AlertKind.RESUMED and self._standing.pop(scope, None) is not None

    def of(self, tier: Tier | None) -> Alert | None:
        """Return the pause that holds for what asks this tier, or asks none; None if there is none."""
        return self._standing.get(_EVERYTHING) or (None if tier is None else self._standing.get(tier))

"""When the alerts topic last told that an endpoint's traffic has changed, by whichever worker."""

from __future__ import annotations

from schemas import Alert
from streams.core.drift.alert_kinds import WatchKind


class TrafficTold:
    """Follows the alerts topic."""

    def __init__(self) -> None:
        self._at_ms: dict[str, int] = {}

    def update(self, alert: Alert) -> None:
        """Take the next alert of the topic."""
        if alert.kind == WatchKind.TRAFFIC_CHANGED:
            self._at_ms[alert.source] = max(alert.at_ms, self.last_ms(alert.source))

    def last_ms(self, source: str) -> int:
        """Return when the traffic of an endpoint last changed, Unix time in milliseconds; 0 if it never has."""
        return self._at_ms.get(source, 0)

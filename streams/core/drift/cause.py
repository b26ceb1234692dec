"""Tells other tickets from another model: what the alerts about probes and about traffic say together."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from schemas import Alert
from streams.core.drift.alert_kinds import MODEL_MOVED, WatchKind

MAX_SOURCES: Final = 2_000
"""The number of sources that are followed at once; the one not heard of for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What has changed at one source: ``tickets_changed`` or ``both_changed``, and the alerts that say so.

    That only the model changed is what its own alert says already.
    """

    kind: WatchKind
    traffic: Alert
    model: Alert | None = None

    @property
    def at_ms(self) -> int:
        """When it was known, Unix time in milliseconds."""
        return self.traffic.at_ms if self.model is None else max(self.traffic.at_ms, self.model.at_ms)


@dataclass(slots=True)
class _Source:
    traffic: Alert | None = None
    model: Alert | None = None


class CauseWatch:
    """Takes the alerts topic in its order. In bounded memory; everything it knows follows from the alerts it was given.

    An alert about traffic with none about the model within ``together_ms`` says that the tickets changed: as far as one
    knows by then. If the model is seen to have changed within that time after all, both did, and that is said then.
    """

    def __init__(self, together_ms: int) -> None:
        self._together_ms = together_ms
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    def update(self, alert: Alert) -> Cause | None:
        """Take the next alert; return what has changed, if it says so."""
        is_traffic = alert.kind == WatchKind.TRAFFIC_CHANGED
        if not is_traffic and alert.kind not in MODEL_MOVED:
            return None
        source = self._sources.setdefault(alert.source, _Source())
        self._sources.move_to_end(alert.source)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        if is_traffic:
            source.traffic = alert
        else:
            source.model = alert
        if source.traffic is None:
            return None
        if source.model is not None and abs(source.traffic.at_ms - source.model.at_ms) <= self._together_ms:
            return Cause(WatchKind.BOTH_CHANGED, source.traffic, source.model)
        return Cause(WatchKind.TICKETS_CHANGED, source.traffic) if is_traffic else None

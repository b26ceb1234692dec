"""What was told of each finding, by any worker: so that one finding of several workers is one alert."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from schemas import MAX_NAME, Alert, stable_id
from streams.core.guards.finding import AlertKind, Finding

#: The most findings, and the most alerts, that are remembered.
_MOST = 10_000
_DAY_MS = 86_400_000
#: What makes two findings of one kind and source different ones.
_PARTS = ("use", "reason", "returned", "breaker")
#: One alert is the end of both.
_SAME_END: dict[str, str] = {AlertKind.ACCOUNT: AlertKind.ENDPOINT_DOWN}
#: Source, kind, and what tells two findings of one kind apart.
_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    alert_id: str
    at_ms: int
    stands: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """A finding that was told and has not ended: what a guard that starts goes on with."""

    kind: str
    at_ms: int
    use: str = ""
    reason: str = ""
    returned: str = ""
    breaker: str = ""
    reasons: tuple[str, ...] = ()


class AlertBook:
    """Follows the alerts topic of one pipeline, and names the alert of a finding.

    Two workers that find the same know the same alerts before it, and so give it the same id. In the id of the first alert
    of its kind is the day (UTC), since the topic may have forgotten an earlier one. What one has told stands until
    its ``recovered``, and is told again after ``remind_s`` seconds and no sooner, by whichever worker comes first.
    """

    def __init__(self, remind_s: float = 3600.0, pipeline: str = "") -> None:
        self._remind_ms = round(remind_s * 1000)
        self._pipeline = pipeline
        self._told: OrderedDict[_Key, _Told] = OrderedDict()
        self._on_topic: OrderedDict[str, None] = OrderedDict()
        self._recovered_ms: OrderedDict[str, int] = OrderedDict()

    def take(self, alert: Alert) -> None:
        """Take the next alert of the topic; one that comes again is no news, and may be over by now."""
        if self.is_on_topic(alert):
            return
        self._on_topic[alert.alert_id] = None
        self._note(alert)
        while len(self._on_topic) > _MOST:
            self._on_topic.popitem(last=False)

    def is_on_topic(self, alert: Alert) -> bool:
        """Return whether the topic has an alert of this id, from this worker or another."""
        return alert.alert_id in self._on_topic

    def standing(self, source: str) -> list[Standing]:
        """Return the findings of a source that stand."""
        return [
            Standing(kind, told.at_ms, **dict(zip(_PARTS, parts, strict=True)), reasons=told.reasons)
            for (its_source, kind, *parts), told in self._told.items()
            if told.stands and its_source == source[:MAX_NAME]
        ]

    def has_recovered_since(self, source: str, at_ms: int) -> bool:
        """Return whether a worker has told the end of an outage of this source at that time or later."""
        return self._recovered_ms.get(source, -1) >= at_ms

    def alert(self, finding: Finding, at_ms: int) -> Alert | None:
        """Return the alert of a finding at ``at_ms`` (Unix time); None if it was told already, or was never begun."""
        source = finding.source[:MAX_NAME]
        if finding.kind is AlertKind.RECOVERED:
            begun = [self._told[key].alert_id for key in self._ended(source, finding.details)]
            if not begun:
                return None
            parts = sorted(begun)
        else:
            key = _key(finding.kind, source, finding.details)
            last = self._told.get(key)
            if last is not None and last.stands and at_ms - last.at_ms < self._remind_ms:
                return None
            parts = [*map(str, key), f"day {at_ms // _DAY_MS}" if last is None else last.alert_id]
        alert = Alert(
            alert_id=stable_id("alert", self._pipeline, source, finding.kind, *parts),
            source=source,
            kind=finding.kind,
            at_ms=at_ms,
            summary=finding.summary,
            details=finding.details,
        )
        self._note(alert)
        return alert

    def _note(self, alert: Alert) -> None:
        if alert.kind == AlertKind.RECOVERED:
            for key in self._ended(alert.source, alert.details):
                self._told[key] = _Told(self._told[key].alert_id, self._told[key].at_ms, stands=False)
            self._recovered_ms[alert.source] = alert.at_ms
            if len(self._recovered_ms) > _MOST:
                self._recovered_ms.popitem(last=False)
            return
        key = _key(alert.kind, alert.source, alert.details)
        reasons = alert.details.get("reasons", {})
        self._told[key] = _Told(alert.alert_id, alert.at_ms, stands=True, reasons=tuple(map(str, reasons)))
        self._told.move_to_end(key)
        if len(self._told) > _MOST:
            self._told.popitem(last=False)

    def _ended(self, source: str, details: dict[str, Any]) -> list[_Key]:
        """Return the standing findings of a source that a ``recovered`` with these details ends."""
        was = {str(each) for each in details.get("was", ())}
        return [key for key, told in self._told.items() if told.stands and key[0] == source and was & _names(key)]


def _key(kind: str, source: str, details: dict[str, Any]) -> _Key:
    return (source, _SAME_END.get(kind, kind), *(str(details.get(part, "")) for part in _PARTS))


def _names(key: _Key) -> set[str]:
    """Return what a ``recovered`` may call a finding: its kind, or its kind with what tells it apart."""
    _, kind, *parts = key
    return {kind, *(f"{kind}:{part}" for part in parts if part)}

"""traffic: watches what the pipeline sees of its tickets, and raises an alert if that has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from schemas import Alert, Classification, stable_id
from streams.core.drift.alert_kinds import WatchKind
from streams.core.drift.traffic import Moved, Sighting, TrafficLimits, TrafficWatch
from streams.core.policy.policy import Policy, decide_cheap


class TrafficHandler:
    """Classification -> Alert if the cheap tier's traffic has changed.

    Every process watches the tickets that it reads itself: a random part of all, because they are keyed by ticket_id.
    ``source`` is the endpoint's name among the probed ones, so that its alerts meet those about the model.
    """

    def __init__(self, policy: Policy, limits: TrafficLimits, source: str) -> None:
        self._policy = policy
        self._limits = limits
        self._source = source
        self._watch = TrafficWatch(limits)

    def __call__(self, message: Classification) -> Sequence[Alert]:
        """Handle one classified ticket."""
        ticket, call = message.ticket, message.call
        if not call.attempts:
            return ()  # the endpoint was not asked: that says something about us, and nothing about the traffic
        decision = decide_cheap(self._policy, ticket.ticket_id, call)
        moved = self._watch.update(Sighting.of(ticket.text, call.signal, escalated=decision.action == "escalate"))
        if not moved:
            return ()
        return (_alert(self._source, ticket.ticket_id, call.attempts[-1].at_ms, moved, self._limits),)


def _alert(source: str, ticket_id: str, at_ms: int, moved: Sequence[Moved], limits: TrafficLimits) -> Alert:
    said = "; ".join(f"{_name(each)} {each.before:.3g} -> {each.after:.3g}" for each in moved)
    return Alert(
        alert_id=stable_id("alert", source, WatchKind.TRAFFIC_CHANGED, ticket_id),
        source=source,
        kind=WatchKind.TRAFFIC_CHANGED,
        at_ms=at_ms,
        summary=f"{source}: the last {limits.window} tickets are not like the {limits.reference} before: {said}",
        details={
            "moved": [each.measure for each in moved],
            "measures": [asdict(each) for each in moved],
            "window": limits.window,
            "reference": limits.reference,
        },
    )


def _name(moved: Moved) -> str:
    return moved.measure.replace("_", " ") if moved.label is None else f"share of label {moved.label or '(none)'!r}"

"""traffic: watches what the pipeline sees of its tickets, and raises an alert if that has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict

from schemas import Alert, Classification, stable_id
from streams.agents.replayed import History
from streams.core.drift.alert_kinds import WatchKind
from streams.core.drift.traffic import Moved, Sighting, TrafficLimits, TrafficWatch
from streams.core.policy.policy import Policy, decide_cheap


async def _no_history(_: Mapping[tuple[str, int], int]) -> AsyncIterator[Classification]:
    nothing: tuple[Classification, ...] = ()
    for message in nothing:
        yield message


class TrafficHandler:
    """Classification -> Alert if the cheap tier's traffic has changed.

    Every process watches the tickets that it reads itself: a random part of all, because they are keyed by ticket_id.
    ``source`` is the endpoint's name among the probed ones, so that its alerts meet those about the model.

    ``told_ms`` returns when a change was last told, by any worker: tickets after it are the reference of all of them, and the
    next change has one id. The handler is its stage's memory too: what it knew is read again from the ``history``.
    """

    def __init__(
        self,
        policy: Policy,
        limits: TrafficLimits,
        source: str,
        told_ms: Callable[[], int] = lambda: 0,
        history: History[Classification] = _no_history,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._source = source
        self._told_ms = told_ms
        self._history = history
        self._watch = TrafficWatch(limits)
        self._since_ms = 0

    def __call__(self, message: Classification) -> Sequence[Alert]:
        """Handle one classified ticket."""
        if not self._counts(message):
            return ()
        moved = self._watch.update(self._sighting(message))
        if not moved:
            return ()
        since_ms, self._since_ms = self._since_ms, message.call.attempts[-1].at_ms
        return (_alert(self._source, since_ms, self._since_ms, moved, self._limits),)

    def forget(self) -> None:
        """Begin with a watch that knows nothing."""
        self._watch = TrafficWatch(self._limits)

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Take the tickets that these partitions held before an offset; what they showed was told when they were handled."""
        watch = self._watch  # if it is forgotten meanwhile: fed to the end, and of no consequence
        async for message in self._history(before):
            if self._counts(message):
                watch.learn(self._sighting(message))

    def _counts(self, message: Classification) -> bool:
        """Return whether a ticket came after the last change, and its endpoint was asked at all."""
        if (told_ms := self._told_ms()) > self._since_ms:
            self._since_ms = told_ms
            self._watch.restart()
        attempts = message.call.attempts
        # One that was not asked says something about us, and nothing about the traffic.
        return bool(attempts) and attempts[-1].at_ms > self._since_ms

    def _sighting(self, message: Classification) -> Sighting:
        ticket, call = message.ticket, message.call
        decision = decide_cheap(self._policy, ticket.ticket_id, call)
        return Sighting.of(ticket.text, call.signal, escalated=decision.action == "escalate")


def _alert(source: str, since_ms: int, at_ms: int, moved: Sequence[Moved], limits: TrafficLimits) -> Alert:
    said = "; ".join(f"{_name(each)} {each.before:.3g} -> {each.after:.3g}" for each in moved)
    return Alert(
        alert_id=stable_id("alert", source, WatchKind.TRAFFIC_CHANGED, str(since_ms)),
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

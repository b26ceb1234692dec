"""Whether an agent gets on with its work, has none, waits for somebody else, or stalls.

Pure: what was seen of the agent at one moment goes in, what it means comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What an agent does."""

    PROGRESSING = "progressing"
    """There was a sign of life since the sample before."""
    IDLE = "idle"
    """There is nothing to do."""
    WAITING = "waiting"
    """There is work and no sign of life, for less than the limit: a slow model, say, or a rebalance."""
    HELD = "held"
    """The broker does not answer or has not yet acknowledged what was sent, an endpoint does not answer, or an operator has
    paused the agent: a restart would not help."""
    STALLED = "stalled"
    """There was work and no sign of life for the whole limit."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of one agent at one moment."""

    at_s: float
    """On a clock that never goes back."""
    signs: int
    """Signs of life so far: messages finished or skipped, attempts that failed and are tried again, rebalances that ended."""
    unfinished: int = 0
    """Messages that were taken and are not finished."""
    lag: int | None = 0
    """Messages that wait to be taken; None if the broker does not say. Looked at only without a new sign of life."""
    joined: bool = True
    """Whether an assignment stands, of no partition even."""
    held: bool = False
    """Whether outputs are on their way to the broker, messages wait for what they need, or the agent is paused."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What an agent does, and for how long it has had work without a sign of life (seconds)."""

    state: State
    quiet_s: float = 0.0


class Progress:
    """Takes one agent's samples in their order.

    ``limit_s`` is how long there may be work and no sign of life. If the watchdog did not look for half of that, the process
    itself stalled (it was frozen, or its machine asleep), so the time in between does not count.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._signs: int | None = None
        self._seen_s = 0.0
        self._since_s = 0.0

    def update(self, sample: Sample) -> Standing:
        """Take the next sample and say what it means."""
        signs, seen_s = self._signs, self._seen_s
        self._signs, self._seen_s = sample.signs, sample.at_s
        if sample.signs != signs:
            return self._well(State.PROGRESSING)
        if sample.lag is None or sample.held:
            return self._well(State.HELD)
        if sample.joined and not sample.unfinished and not sample.lag:
            return self._well(State.IDLE)
        if sample.at_s - seen_s > self._limit_s / 2:
            return self._well(State.WAITING)
        quiet_s = sample.at_s - self._since_s
        return Standing(State.STALLED if quiet_s >= self._limit_s else State.WAITING, quiet_s)

    def _well(self, state: State) -> Standing:
        self._since_s = self._seen_s
        return Standing(state)

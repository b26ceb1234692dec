"""What the workers of a pipeline have said, merged: the same whatever came twice, and in whatever order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from schemas.fleet import WorkerState
from streams.core.fleet.caps import DAY_MS, Period, leased, used

#: A worker that has said nothing for longer is taken for dead.
LIVE_MS = 60_000
#: What is older counts toward no limit.
_KEPT_MS = 32 * DAY_MS

Thing = Literal["money", "escalations"]
THINGS: tuple[Thing, ...] = ("money", "escalations")


class Fleet:
    """The latest state of each worker of one group; states of other groups are left out."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._states: dict[str, WorkerState] = {}
        self.version = 0
        """Grows with everything that is news."""

    def update(self, state: WorkerState) -> bool:
        """Take a state; return whether it is news: of this group, and later than what this worker said before."""
        known = self._states.get(state.worker)
        if state.group != self._group or (known is not None and known.number >= state.number):
            return False
        self._states[state.worker] = state
        self.version += 1
        return True

    def merge(self, states: Iterable[WorkerState]) -> None:
        """Take many states."""
        for state in states:
            self.update(state)

    def __iter__(self) -> Iterator[WorkerState]:
        """Yield the latest state of each worker, in the order of their names."""
        return iter(sorted(self._states.values(), key=lambda state: state.worker))

    def used(self, thing: Thing, period: Period, now_ms: int, *, but: str | None = None) -> int:
        """Return what counts toward a limit at ``now_ms`` (Unix time): of all workers, or all ``but`` one."""
        return sum(
            used(getattr(state, thing), period, now_ms, state.at_ms)
            for state in self._states.values()
            if state.worker != but
        )

    def leased(self, thing: Thing, period: Period, now_ms: int) -> int:
        """Return how much of what counts is leased, and so not known to have been used."""
        return sum(leased(getattr(state, thing), period, now_ms, state.at_ms) for state in self._states.values())

    def live(self, now_ms: int) -> list[str]:
        """Return the workers that are at work, in order; ``now_ms`` is Unix time."""
        return [state.worker for state in self if not state.stopped and now_ms - state.at_ms < LIVE_MS]

    def forget_old(self, now_ms: int) -> None:
        """Drop the states of workers that said their last too long ago to count."""
        self._states = {key: state for key, state in self._states.items() if now_ms - state.at_ms < _KEPT_MS}

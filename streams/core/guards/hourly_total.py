"""What was used up within the last hour."""

from __future__ import annotations

from collections import deque

_MINUTE_S = 60.0
_MINUTES = 60


class HourlyTotal:
    """A running total over the last hour, in at most 61 numbers.

    It counts by whole minutes and forgets a minute only when all of it is over an hour old, so that no 60 minutes
    anywhere hold more than a limit on the total.
    """

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, float]] = deque()

    def add(self, amount: float, now: float) -> None:
        """Count ``amount`` at ``now`` (seconds, never going back)."""
        minute = int(now // _MINUTE_S)
        if self._minutes and self._minutes[-1][0] == minute:
            amount += self._minutes.pop()[1]
        self._minutes.append((minute, amount))

    def total(self, now: float) -> float:
        """Return what was counted in the hour before ``now``, and up to a minute more."""
        oldest = int(now // _MINUTE_S) - _MINUTES
        while self._minutes and self._minutes[0][0] < oldest:
            self._minutes.popleft()
        return sum(amount for _, amount in self._minutes)

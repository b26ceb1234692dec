"""How fast work begins again after a pause: a few records in the first second, more in each that follows."""

from __future__ import annotations

from collections.abc import Callable

#: A pause that is shorter is none for an event loop.
_SHORTEST_S = 0.001


class Ramp:
    """Lets ``per_s`` records begin in the first second, twice as many in the next, and so on.

    It is over once it would let ``enough_per_s`` begin in a second. ``now`` is a clock in seconds.
    """

    def __init__(self, per_s: float, enough_per_s: float, now: Callable[[], float]) -> None:
        self._per_s = per_s
        self._enough_per_s = enough_per_s
        self._now = now
        self._began = now()
        self._taken = 0

    @property
    def is_over(self) -> bool:
        """Whether there is no bound any more."""
        return self._rate() >= self._enough_per_s

    def take(self) -> float:
        """Take a place for one record and return 0, or return in how many seconds there will be one."""
        whole, part = divmod(self._now() - self._began, 1)
        allowed = self._per_s * (whole * (whole + 1) / 2 + (whole + 1) * part)
        if self._taken <= allowed:
            self._taken += 1
            return 0.0
        return max(_SHORTEST_S, (self._taken - allowed) / self._rate())

    def _rate(self) -> float:
        return self._per_s * (int(self._now() - self._began) + 1)

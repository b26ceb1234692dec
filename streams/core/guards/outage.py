"""Tells which kinds of breach have become more frequent than they were: an outage each, while it lasts."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from streams.core.guards.finding import Bell
from streams.core.guards.limits import SIGNIFICANT, GuardLimits
from streams.core.guards.rates import Rates
from streams.core.statistics import binomial_at_least


class Outages:
    """Judges the counts in ``rates``, which the caller keeps, against the history before them.

    A kind of breach is judged when a call is free of it: before that it may be every call, which is no outage.
    """

    def __init__(self, rates: Rates, limits: GuardLimits) -> None:
        self._rates = rates
        self._limits = limits
        self._bell = Bell(limits.remind_s)
        self._untested: set[str] = set()
        """Seen since the last call that was free of them."""
        self.ongoing: set[str] = set()

    def see(self, names: AbstractSet[str], aside: AbstractSet[str], now: float) -> list[str]:
        """Take a call with these breaches at ``now`` (seconds); return the outages to speak of.

        Those ``aside`` are judged elsewhere.
        """
        settled = self._untested - names
        self._untested = (self._untested | names) - settled - aside
        found = [name for name in sorted(settled - aside) if name in self.ongoing or self._is_unusual(name)]
        return [name for name in found if self._tell(name, now)]

    def ended(self, names: AbstractSet[str]) -> list[str]:
        """Return the outages whose share of a full window is what it was before, and forget them."""
        if self._rates.calls < self._limits.window:  # an outage of before this worker began may go on
            return []
        over = sorted(name for name in self.ongoing - names if self._rates.count(name) <= self._usual_count(name))
        for name in over:
            self.ongoing.discard(name)
            self._bell.over(name)
        return over

    def forget(self) -> list[str]:
        """Return the outages that were going on, and begin again."""
        names = sorted(self.ongoing)
        for name in names:
            self._bell.over(name)
        self.ongoing, self._untested = set(), set()
        return names

    def _tell(self, name: str, now: float) -> bool:
        self.ongoing.add(name)
        return self._bell.pull(name, now)

    def _is_unusual(self, name: str) -> bool:
        return binomial_at_least(self._rates.count(name), self._rates.calls, self._usual_share(name)) < SIGNIFICANT

    def _usual_share(self, name: str) -> float:
        prior = self._limits.tolerated_share
        return max(prior, self._rates.expected(name, prior, self._limits.window))

    def _usual_count(self, name: str) -> float:
        return self._usual_share(name) * self._rates.calls

"""Whether an endpoint is asked: always, or one trial now and then until it can be trusted again."""

from __future__ import annotations

import math
from enum import Enum


class Permit(Enum):
    """What a caller may do."""

    CALL = "call"
    TRIAL = "trial"
    """Call, and report the result to the breaker."""
    REFUSED = "refused"


class Breaker:
    """Closed: every call. Open: one trial every ``every_s`` seconds. Trials that keep the contract close it.

    After a good trial the next one follows at once (half open); ``to_close`` in a row close the breaker, and a bad one
    begins the wait again. A trial that never comes back holds nothing up: the next one is due as planned.

    It is one breaker in several workers: each opening and each closing is a *turn*, and the latest turn holds in all of them.
    """

    def __init__(self, every_s: float, to_close: int) -> None:
        self._every_s = every_s
        self._to_close = to_close
        self._next_trial = math.inf
        self._good = 0
        self.turns = 0
        """How often it was opened and closed, by any worker."""

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self.turns % 2 == 1

    def follow(self, turns: int, now: float) -> bool:
        """Take the turn that it has in another worker; return whether that opens or closes it here."""
        if turns <= self.turns:
            return False
        was_open, self.turns = self.is_open, turns
        if self.is_open:
            self._wait(now)
        return self.is_open != was_open

    def permit(self, now: float) -> Permit:
        """Return what may be done at ``now`` (seconds); a trial is given to one caller only."""
        if not self.is_open:
            return Permit.CALL
        if now < self._next_trial:
            return Permit.REFUSED
        self._next_trial = now + self._every_s
        return Permit.TRIAL

    def open(self, now: float) -> None:
        """Hold calls back from now on."""
        if not self.is_open:
            self.turns += 1
        self._wait(now)

    def passed(self, now: float) -> bool:
        """A trial kept the contract; return whether that closes the breaker."""
        if not self.is_open:
            return False
        self._good += 1
        self._next_trial = now
        if self._good < self._to_close:
            return False
        self.turns += 1
        return True

    def failed(self, now: float) -> None:
        """A trial broke the contract again, or was not answered."""
        if self.is_open:
            self._wait(now)

    def _wait(self, now: float) -> None:
        self._good = 0
        self._next_trial = now + self._every_s

"""What one worker has used of one thing, and what it may still use without asking the others."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.fleet import MAX_DAYS, MAX_MINUTES, Amount, Usage
from streams.core.fleet.caps import DAY_MS, LEASE_MS, MINUTE_MS, Caps, OthersUsed, Period, first_of


class Account:
    """One worker's use of something that all workers share, in whole units.

    A worker uses only what it has leased, and says what it leases before it uses it: so what all workers have said
    that they used and leased is never less than what was used. To lease more it *asks*: it says so, and when it reads its
    own word again it knows what the others said before it, and ``grant`` gives it what the limits leave.
    Of two workers that ask at the same time, the one whose word came second counts what the other asked for.

    ``take`` moves an amount from the lease to what was used, before it is used; ``settle`` corrects it afterwards. What was used
    beyond the lease is owed to it: what comes back, or is leased next, makes up for that first.
    """

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._minutes: dict[int, int] = {}
        self._days: dict[int, int] = {}
        self._leased = 0
        self._asked = 0
        self._leased_at_ms = 0
        self._newest = 0

    @property
    def usage(self) -> Usage:
        """What to tell the others: what was used, and what is leased or asked for."""
        leased = max(0, self._leased)
        return Usage(minutes=_amounts(self._minutes), days=_amounts(self._days), leased=leased, asked=self._asked)

    def said(self, at_ms: int) -> None:
        """Note that the others were told at ``at_ms``: from then on the lease may be used for a minute."""
        self._leased_at_ms = at_ms

    def may_take(self, amount: int, now_ms: int) -> bool:
        """Return whether the lease covers an amount at ``now_ms`` (Unix time)."""
        return self._leased >= amount and now_ms - self._leased_at_ms < LEASE_MS

    def take(self, amount: int, now_ms: int) -> bool:
        """Return whether the lease covers an amount at ``now_ms`` (Unix time), and count it as used if so."""
        if not self.may_take(amount, now_ms):
            return False
        self._leased -= amount
        self._newest = amount
        self._add(amount, now_ms)
        return True

    def settle(self, taken: int, was: int, taken_at_ms: int) -> None:
        """Correct an amount that was taken at ``taken_at_ms`` (Unix time) to what it was in the end.

        What is left of it goes back to the lease. What was used beyond it comes out of the lease, which may then be below 0.
        """
        self._leased += taken - was
        self._add(was - taken, taken_at_ms)

    def used(self, period: Period, now_ms: int) -> int:
        """Return what this worker used within a period, its lease not included."""
        first, amounts = first_of(period, now_ms), self._minutes if period == "hour" else self._days
        return sum(used for at, used in amounts.items() if at >= first)

    def pace(self, now_ms: int) -> float:
        """Return what was used in a second, over this minute and the last one."""
        minute = now_ms // MINUTE_MS
        recent = self._minutes.get(minute, 0) + self._minutes.get(minute - 1, 0)
        return recent / (60 + now_ms % MINUTE_MS / 1000)

    def left(self, others: OthersUsed, now_ms: int) -> int | None:
        """Return what the limits leave this worker at ``now_ms``, its lease not included; None is no limit."""
        rest = [most - others(period) - self.used(period, now_ms) - self._leased for period, most in self._caps]
        return max(0, min(rest)) if rest else None

    @property
    def leased(self) -> int:
        """What may be used without asking; below 0: what was used without being leased."""
        return self._leased

    def ask(self, amount: int) -> None:
        """Ask for a larger lease; ``usage`` then has it, and must be told before ``grant``."""
        self._asked = amount

    @property
    def asked(self) -> int:
        """What was asked for and not granted yet."""
        return self._asked

    def withdraw(self) -> None:
        """Ask for nothing after all."""
        self._asked = 0

    def grant(self, others: OthersUsed, now_ms: int) -> int:
        """Take what the limits leave of what was asked for, and return it.

        ``others`` counts all that was said before this worker asked.
        """
        asked, self._asked = self._asked, 0
        left = self.left(others, now_ms)
        granted = asked if left is None else min(asked, left)
        self._leased += granted
        return granted

    def keep_for(self, seconds: float, now_ms: int) -> None:
        """Give back what is not used within some seconds at the pace of now, but for one more of the last amount."""
        self.give_back(max(self._newest, round(self.pace(now_ms) * seconds)))

    def give_back(self, keep: int) -> bool:
        """Keep only so much of the lease; return whether that gives anything back."""
        if self._leased <= keep:
            return False
        self._leased = keep
        return True

    def _add(self, amount: int, at_ms: int) -> None:
        for amounts, at, most in (
            (self._minutes, at_ms // MINUTE_MS, MAX_MINUTES),
            (self._days, at_ms // DAY_MS, MAX_DAYS),
        ):
            if at not in amounts:
                if amount <= 0:  # a correction of what counts no more
                    continue
                if len(amounts) == most:
                    # What was used first, not what is oldest: while the clock was ahead it may have been the later time.
                    del amounts[next(iter(amounts))]
            amounts[at] = max(0, amounts.get(at, 0) + amount)


def _amounts(amounts: Mapping[int, int]) -> tuple[Amount, ...]:
    return tuple(Amount(at=at, used=used) for at, used in sorted(amounts.items()))

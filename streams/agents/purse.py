"""What a worker may use of something that has a limit for all workers together: money, or escalations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from streams.core.fleet import KEPT_S, Member, Thing

#: Tells the others the state of this worker, and returns once everything that they said before it is read.
Announce = Callable[[], Awaitable[None]]
#: A lease is made for this many of what is needed now, if that is more than what the pace of now asks for.
_CALLS = 10
#: Others that asked just before may have got less than they asked for: then it is worth asking again.
_TRIES = 3
#: One worker asks for no larger share of what is left than this, divided by the number of workers.
_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Taken:
    """An amount that was taken, and when (Unix time, milliseconds)."""

    amount: int
    at_ms: int


class Purse:
    """Takes from the worker's lease, and leases more when that does not cover what is needed.

    ``ensure`` makes the lease large enough; ``take`` never waits. Amounts are whole units.
    """

    def __init__(self, thing: Thing, member: Member, wall_ms: Callable[[], int], announce: Announce) -> None:
        self._thing: Thing = thing
        self._member = member
        self._account = member.accounts[thing]
        self._wall_ms = wall_ms
        self._announce = announce
        self._leasing = asyncio.Lock()
        self._refused = 1

    def is_used_up(self) -> bool:
        """Return whether the limits leave too little for what was refused last."""
        left = self._member.left(self._thing, self._wall_ms())
        return left is not None and left + self._account.leased < self._refused

    def used(self) -> int:
        """Return what all workers have used within the hour, leases included."""
        now_ms = self._wall_ms()
        return self._member.others_used(self._thing, now_ms)("hour") + self._account.used("hour", now_ms)

    async def ensure(self, amount: int) -> bool:
        """Return whether the lease covers an amount, leasing more if need be; raises Hold while the others cannot be told."""
        if self._account.may_take(amount, self._wall_ms()):
            return True
        async with self._leasing:
            for _ in range(_TRIES):
                if self._account.may_take(amount, self._wall_ms()):
                    return True
                if not self._is_left(amount):
                    break
                others_asked = await self._lease(amount)
                if not others_asked:
                    break
        if self._account.may_take(amount, self._wall_ms()):
            return True
        self._refused = amount
        return False

    def take(self, amount: int) -> Taken | None:
        """Return what was taken from the lease, or None if it does not cover the amount."""
        now_ms = self._wall_ms()
        return Taken(amount, now_ms) if self._account.take(amount, now_ms) else None

    def settle(self, taken: Taken, was: int) -> None:
        """Correct what was taken to what was used."""
        self._account.settle(taken.amount, was, taken.at_ms)

    def _is_left(self, amount: int) -> bool:
        left = self._member.left(self._thing, self._wall_ms())
        return left is None or left + self._account.leased >= amount

    async def _lease(self, amount: int) -> bool:
        """Ask for a larger lease; return whether it is worth asking again, since others had asked just before."""
        now_ms = self._wall_ms()
        left = self._member.left(self._thing, now_ms)
        ahead = max(_CALLS * amount, round(self._account.pace(now_ms) * KEPT_S))
        if left is not None:
            ahead = min(ahead, round(left * _SHARE / self._member.workers(now_ms)))
        self._member.ask(self._thing, max(0, amount - self._account.leased, ahead))
        try:
            await self._announce()
        except BaseException:
            self._account.withdraw()
            raise
        if self._account.may_take(amount, self._wall_ms()):
            return False
        others_ask = self._member.others_ask(self._thing, self._wall_ms())
        await self._announce()  # what was not granted may be another's
        return others_ask

"""Puts new reviews together, so that a flood of them is one message, and sends no more than one message in a while."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from schemas import Review
from streams.aio import in_background
from streams.webhooks.notice import MOST_TICKETS, Notice, of_reviews

#: Reviews come in bursts: the first of one waits this long for the others, or ``every_s`` if that is shorter.
_GATHER_S = 5.0


class Send(Protocol):
    """Sends a notice and returns whether it arrived."""

    def __call__(self, notice: Notice, *, attempts: int | None = None) -> Awaitable[bool]:
        """Send within ``attempts``; without them, as often as is set."""


class Announcer:
    """Announces reviews to one webhook. What it could not send goes with the next message, ``every_s`` seconds later.

    Only numbers and the first ids are kept, so its memory is bounded whatever comes. What waits when the process dies is
    announced by nobody; the reviews themselves are in the store.
    """

    def __init__(
        self,
        send: Send,
        every_s: float,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._send = send
        self._every_s = every_s
        self._sleep = sleep
        self._wall_ms = wall_ms
        self._first: list[Review] = []
        self._count = 0
        self._reasons: Counter[str] = Counter()
        self._some = asyncio.Event()

    def add(self, review: Review) -> None:
        """Announce a review with the next message."""
        if self._count < MOST_TICKETS:
            self._first.append(review)
        self._count += 1
        self._reasons.update(review.reasons)
        self._some.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Announce in the background; what is left at the end is tried once."""
        try:
            async with in_background(self._run()):
                yield
        finally:
            if self._count:
                await self._announce(attempts=1)

    async def _run(self) -> None:
        gather_s = min(_GATHER_S, self._every_s)
        while True:
            await self._some.wait()
            await self._sleep(gather_s)
            await self._announce()
            await self._sleep(self._every_s - gather_s)

    async def _announce(self, attempts: int | None = None) -> None:
        taken = self._first, self._count, self._reasons
        self._first, self._count, self._reasons = [], 0, Counter()
        self._some.clear()
        arrived = False
        try:
            arrived = await self._send(of_reviews(*taken, self._wall_ms()), attempts=attempts)
        finally:
            if not arrived:
                first, count, reasons = taken
                self._first = [*first, *self._first][:MOST_TICKETS]
                self._count += count
                self._reasons += reasons
                self._some.set()

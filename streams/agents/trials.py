"""Trials of an endpoint that does not answer: one every so often, even while earlier ones still hang."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from streams.aio import Changes

#: With the default pause of 1 s, calls may hang for this many seconds before the trials come more slowly.
MOST_TRIALS: Final = 32


class Trials:
    """Begins trials, of which ``most`` are in flight at once, and says when the next one is due.

    An endpoint that hung may never answer what it was sent before its return, so a trial does not wait for the one before.
    ``every_s`` is the pause between two beginnings, seconds; ``now`` the clock. ``changes`` is noted at the end of each.
    """

    def __init__(
        self,
        send: Callable[[], Awaitable[None]],
        every_s: float,
        now: Callable[[], float],
        changes: Changes,
        *,
        most: int = MOST_TRIALS,
    ) -> None:
        self._send = send
        self._every_s = every_s
        self._now = now
        self._changes = changes
        self._most = most
        self._next = -float("inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    @property
    def are_full(self) -> bool:
        """Whether no further one may begin before one has ended."""
        return len(self._tasks) >= self._most

    @property
    def error(self) -> BaseException | None:
        """What one of them ended with and ``raise_error`` has not raised yet; None if there is nothing."""
        return self._error

    def due_in_s(self) -> float:
        """Return in how many seconds the next one is due; not above 0: now."""
        return self._next - self._now()

    def put_off(self, after_s: float) -> None:
        """Begin none within the next ``after_s`` seconds."""
        self._next = max(self._next, self._now() + after_s)

    def begin(self) -> asyncio.Task[None]:
        """Begin one in the background."""
        self.put_off(self._every_s)
        task = asyncio.create_task(self._one())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def raise_error(self) -> None:
        """Raise what one of them ended with, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def drop(self) -> None:
        """Cancel those in flight but the one that calls this: they hang, and tell nothing new."""
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()

    async def close(self) -> None:
        """Cancel those in flight, and wait for their ends."""
        self.drop()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _one(self) -> None:
        await self._send()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
        self._changes.note()

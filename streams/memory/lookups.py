"""Look-ups that come one by one, made in batches: a text alone costs half as much again as one in company."""

from __future__ import annotations

import asyncio

from schemas import Ticket
from streams.core.memory.recall import Recalled
from streams.memory.memory import Memory

_BATCH = 16


class Lookups:
    """Asks a memory about tickets, in ``at_once`` batches at a time; what comes in meanwhile is the next batch."""

    def __init__(self, memory: Memory, *, at_once: int = 1) -> None:
        self._memory = memory
        self._at_once = at_once
        self._waiting: list[tuple[Ticket, asyncio.Future[Recalled]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def recall(self, ticket: Ticket) -> Recalled:
        """Return what the memory says of one ticket. Raises what the embedder does."""
        future: asyncio.Future[Recalled] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, future))
        # A task that is done may still be in the set: its callback has its turn later.
        if sum(not task.done() for task in self._tasks) < self._at_once:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            # A ticket whose handler was cancelled meanwhile needs no answer.
            batch = [(ticket, future) for ticket, future in batch if not future.done()]
            try:
                found = await self._memory.recall([ticket for ticket, _ in batch])
            except Exception as error:  # noqa: BLE001 - it belongs to the tickets that wait for it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), recalled in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(recalled)

"""Look-ups that come one by one, made in batches: a text alone costs half as much again as one in company."""

from __future__ import annotations

import asyncio

from schemas import Ticket
from streams.core.memory.recall import Recalled
from streams.memory.memory import Memory

_BATCH = 16


class Lookups:
    """Asks a memory about tickets; what comes in while it is busy is the next batch."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._waiting: list[tuple[Ticket, asyncio.Future[Recalled]]] = []
        self._task: asyncio.Task[None] | None = None

    async def recall(self, ticket: Ticket) -> Recalled:
        """Return what the memory says of one ticket."""
        future: asyncio.Future[Recalled] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
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

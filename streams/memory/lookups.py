"""Look-ups that come one by one, made in batches: a text alone costs half as much again as one in company."""

from __future__ import annotations

import asyncio

from schemas import Ticket
from streams.core.memory.recall import Recalled
from streams.embedding.minilm import MAX_CHARS
from streams.memory.memory import Memory

_BATCH = 16


class Lookups:
    """Asks a memory about tickets, in ``at_once`` batches at a time.

    A batch is the ticket that has waited longest and those of like lengths among the others: texts that are embedded
    together are filled up to the longest of them.
    """

    def __init__(self, memory: Memory, *, at_once: int = 1) -> None:
        self._memory = memory
        self._at_once = at_once
        self._waiting: dict[asyncio.Future[Recalled], Ticket] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def recall(self, ticket: Ticket) -> Recalled:
        """Return what the memory says of one ticket. Raises what the embedder does."""
        future: asyncio.Future[Recalled] = asyncio.get_running_loop().create_future()
        self._waiting[future] = ticket
        # A task that is done may still be in the set: its callback has its turn later.
        if sum(not task.done() for task in self._tasks) < self._at_once:
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _work(self) -> None:
        while self._waiting:
            # A ticket whose handler was cancelled meanwhile needs no answer.
            batch = {future: ticket for future, ticket in self._taken().items() if not future.done()}
            try:
                found = await self._memory.recall(list(batch.values()))
            except Exception as error:  # noqa: BLE001 - it belongs to the tickets that wait for it
                for future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for future, recalled in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(recalled)

    def _taken(self) -> dict[asyncio.Future[Recalled], Ticket]:
        """Take the oldest that waits, and those nearest to it in length; of equally near ones the older."""
        lengths = {future: min(len(ticket.text), MAX_CHARS) for future, ticket in self._waiting.items()}
        of_oldest = next(iter(lengths.values()))
        nearest = sorted(lengths, key=lambda future: abs(lengths[future] - of_oldest))
        return {future: self._waiting.pop(future) for future in nearest[:_BATCH]}

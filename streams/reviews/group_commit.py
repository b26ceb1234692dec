"""Many that want to be stored at once, in few transactions: what comes while one is being made goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from schemas import Review
from streams.errors import StopWorker, TryAgain

#: A transaction that takes longer is given up: longer than the store itself waits for a lock or a connection.
_PATIENCE_S = 30.0
_Waiting = tuple[Review, asyncio.Future[None]]


class ReviewQueue(Protocol):
    """A queue of reviews that wait for a reviewer; the ReviewStore is one."""

    def add_all(self, reviews: Sequence[Review]) -> int:
        """Store reviews durably before returning, all or none; those that are there already stay as they are."""


class GroupCommit:
    """Stores reviews in threads, one transaction after the other.

    A transaction costs the same for one review as for a hundred, and a database writes one at a time.
    """

    def __init__(self, queue: ReviewQueue) -> None:
        self._queue = queue
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, review: Review) -> None:
        """Return once the review is stored; raises what the queue raises, and TryAgain if it does not answer.

        If the caller is cancelled while it waits, the review is stored all the same. That does no harm: storing twice
        changes nothing.
        """
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((review, stored))
        if self._task is None:
            self._task = asyncio.create_task(self._store())
        await stored

    async def _store(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting, []
                if not await self._try(together):
                    for each in together:  # the fault of one of them
                        await self._try([each])
        finally:
            self._task = None

    async def _try(self, together: Sequence[_Waiting]) -> bool:
        """Store these in one transaction and answer all of them; False if another try could tell them apart."""
        error: Exception | None = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                # A thread that outlives this does no harm either.
                await asyncio.to_thread(self._queue.add_all, [review for review, _ in together])
        except TimeoutError:
            error = TryAgain(f"the review store has not answered for {_PATIENCE_S:g} s")
        except (TryAgain, StopWorker) as all_the_same:
            error = all_the_same
        except Exception as failed:  # noqa: BLE001 - each review's own handler judges it
            if len(together) > 1:
                return False
            error = failed
        for _, stored in together:
            if not stored.done():
                stored.set_exception(error) if error else stored.set_result(None)
        return True

"""The records of a stage that calls out, each in a separate task, within two bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from streams.delivery.assignment import Partition, Place


class InProgress:
    """The tasks at work: ``limit`` of them in their handlers, and as many again that wait for the broker.

    ``ended`` is called after each, with the error that it ended with, or None.
    """

    def __init__(self, limit: int, ended: Callable[[BaseException | None], None]) -> None:
        self._limit = limit
        self._ended = ended
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._delivering: set[Place] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, place: Place) -> bool:
        return place in self._tasks

    @property
    def handling(self) -> int:
        """How many are in their handlers."""
        return len(self._tasks) - len(self._delivering)

    @property
    def has_place(self) -> bool:
        """Whether another record may begin: one that waits for the broker takes no place of one that waits for a model."""
        return self.handling < self._limit and len(self._tasks) < 2 * self._limit

    def begin(self, place: Place, work: Coroutine[Any, Any, None]) -> None:
        """Begin the work of one record."""
        task = asyncio.create_task(work)
        self._tasks[place] = task
        task.add_done_callback(partial(self._done, place))

    def delivers(self, place: Place) -> None:
        """Note that this record is through with its handler: from now to its end it waits for the broker."""
        if place in self._tasks:
            self._delivering.add(place)

    def cancel(self) -> None:
        """Cancel everything."""
        for task in self._tasks.values():
            task.cancel()

    def abandon(self, partition: Partition) -> None:
        """Cancel and forget what is in progress from a log that is gone: its offsets belong to other messages now."""
        for place in [place for place in self._tasks if place[:2] == partition]:
            self._delivering.discard(place)
            self._tasks.pop(place).cancel()

    def _done(self, place: Place, task: asyncio.Task[None]) -> None:
        if self._tasks.get(place) is task:
            del self._tasks[place]
            self._delivering.discard(place)
        if not task.cancelled():
            self._ended(task.exception())
        elif task.cancelling():
            self._ended(None)
        else:  # not by our own call: something that it awaited was cancelled
            self._ended(asyncio.CancelledError())

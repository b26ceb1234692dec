"""The few asyncio helpers that several rooms share: a lock, word of a change, background work, whose cancellation it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self

#: A caller that waits for the others to be gone lets new ones pass after this long: one of them may wait for an
#: unavailable broker.
_PATIENCE_S = 2.0


class SharedOrAlone:
    """Held by any number of tasks at once in ``async with lock.shared()``, or by one in ``async with lock.alone()``."""

    def __init__(self) -> None:
        self._sharing = 0
        self._empty = asyncio.Event()
        self._gate = asyncio.Lock()

    def shared(self) -> Self:
        """Hold it alongside others, as soon as nobody has it alone or is about to."""
        return self

    async def __aenter__(self) -> None:
        """Begin to share."""
        if self._gate.locked():
            async with self._gate:
                pass
        self._sharing += 1

    async def __aexit__(self, *_: object) -> None:
        """End sharing."""
        self._sharing -= 1
        if not self._sharing:
            self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold it alone, as soon as nobody else holds it."""
        while True:
            async with self._gate:
                if await self._is_empty():
                    yield
                    return

    async def _is_empty(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while self._sharing:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return False
        return True


class Changes:
    """Wakes everybody who waits, at every change; what they wait for they look at themselves."""

    __slots__ = ("_changed",)

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        """Say that something has changed."""
        self._changed.set()

    async def next(self) -> None:
        """Wait for the next change."""
        self._changed.clear()
        await self._changed.wait()

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the condition holds, ``timeout_s`` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self.next()


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do the work while the block runs, and cancel it at the end; raises the error that ended it earlier."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def this_task() -> asyncio.Task[Any]:
    """Return the task that runs."""
    task = asyncio.current_task()
    assert task is not None, "this is called in a task only"
    return task


def is_cancelled() -> bool:
    """Return whether somebody cancelled this very task: else a CancelledError in it is that of something it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

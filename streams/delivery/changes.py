"""Word that something has changed, for whoever waits for a condition."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


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

"""A lock that many share or one has alone, first come first served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

#: Whoever waits for the others to be gone lets new ones pass after this long: one of them may wait for a broker that is away.
_PATIENCE_S = 2.0


class SharedOrAlone:
    """Held by any number of tasks at once in ``async with lock.shared()``, or by one in ``async with lock.alone()``."""

    def __init__(self) -> None:
        self._sharing = 0
        self._empty = asyncio.Event()
        self._gate = asyncio.Lock()

    def shared(self) -> Self:
        """Hold it beside others, as soon as nobody has it alone or is about to."""
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

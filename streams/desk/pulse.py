"""Tells open pages that something has changed, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from streams.errors import HedgerowError

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
#: Proxies close a connection on which nothing comes for a minute or so.
_SIGN_OF_LIFE_S = 15.0
MAX_LISTENERS = 500

Beat = tuple[int, ...]
"""How many reviews wait, and numbers that change with everything that anybody does."""


class Pulse:
    """Reads the store once a second for all listeners together, and not at all without any."""

    def __init__(self, read: Callable[[], Beat]) -> None:
        self._read = read
        self._changed = asyncio.Condition()
        self._beat: Beat | None = None
        self.listeners = 0

    async def run(self) -> None:
        """Read until it is cancelled."""
        while True:
            if self.listeners:
                try:
                    beat = await asyncio.to_thread(self._read)
                except HedgerowError as error:
                    log.warning("the queue cannot be read for open pages", problem=str(error))
                else:
                    if beat != self._beat:
                        async with self._changed:
                            self._beat = beat
                            self._changed.notify_all()
            await asyncio.sleep(_EVERY_S)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield an event at every change, and a comment now and then, for one listener."""
        self.listeners += 1
        seen: Beat | None = None
        try:
            yield b"retry: 3000\n\n"
            while True:
                try:
                    async with asyncio.timeout(_SIGN_OF_LIFE_S), self._changed:
                        while self._beat is None or self._beat == seen:
                            await self._changed.wait()
                        seen = self._beat
                except TimeoutError:
                    yield b": still here\n\n"
                else:
                    yield b'event: queue\ndata: {"waiting": %d}\n\n' % seen[0]
        finally:
            self.listeners -= 1

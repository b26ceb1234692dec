"""A row in which tickets go on one after another, so that the load after a wait grows in steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Turns:
    """Hands out turns, ``per_s`` a second; ``now`` is a clock in seconds that never goes back."""

    def __init__(self, per_s: float, now: Callable[[], float]) -> None:
        self._pause_s = 1 / per_s
        self._now = now
        self._next = -float("inf")

    async def take(self) -> None:
        """Wait for the next turn; one that nobody took is not made up for."""
        turn = max(self._now(), self._next)
        self._next = turn + self._pause_s
        await asyncio.sleep(turn - self._now())

"""A limit that work has met: tickets wait for its end, unfinished, if the settings say so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from streams.agents.turns import Turns
from streams.errors import Hold

#: How often one of the waiting tickets looks whether the limit still stands, seconds.
LOOK_EVERY_S = 1.0


class Limit:
    """One limit; ``name`` is what metrics and /ready call it, ``reached`` says whether it stands now.

    Of the tickets that wait, one at a time awaits ``look``, again and again, until the limit stands no more. Then they go on
    in ``turns``, or all at once without them.
    """

    def __init__(
        self,
        name: str,
        reached: Callable[[], bool],
        look: Callable[[], Awaitable[None]] | None = None,
        *,
        turns: Turns | None = None,
    ) -> None:
        self.name = name
        self.reached = reached
        self._look = look or _pause
        self._turns = turns
        self._looking = asyncio.Lock()

    def hold(self) -> Hold:
        """Return the Hold to raise while the limit stands."""
        return Hold(f"{self.name}: a limit is reached", self._over)

    async def _over(self) -> None:
        async with self._looking:
            while self.reached():
                await self._look()
        if self._turns is not None:
            await self._turns.take()


async def _pause() -> None:
    await asyncio.sleep(LOOK_EVERY_S)

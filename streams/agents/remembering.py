"""What the memory says of a ticket, for the agents that ask a model; tickets wait while it cannot say anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from schemas import Call, Ticket
from streams.agents.limit import LOOK_EVERY_S, Limit
from streams.core.memory.recall import Recalled
from streams.errors import TryAgain

log = structlog.get_logger(__name__)


class Remembering:
    """Recalls tickets; ``before`` says what an earlier call knows already, ``look_up`` asks for the rest.

    Raises Hold while ``is_small``: the policy was fitted with a larger memory, and may not decide with this one. And so
    while the embedder does not answer; ``try_out`` finds out when it does, and raises TryAgain until then.
    ``looked_up`` is called with how each ticket was recalled.
    """

    def __init__(
        self,
        before: Callable[[Ticket, Call], Recalled | None],
        look_up: Callable[[Ticket], Awaitable[Recalled]],
        try_out: Callable[[], Awaitable[object]],
        *,
        is_small: Callable[[], bool] = lambda: False,
        looked_up: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.small = Limit("memory", is_small)
        self.silent = Limit("embedding", lambda: self._is_silent, self._look)
        self._before = before
        self._look_up = look_up
        self._try_out = try_out
        self._looked_up = looked_up
        self._is_silent = False

    @property
    def limits(self) -> list[Limit]:
        """What tickets wait for."""
        return [self.small, self.silent]

    async def recall(self, ticket: Ticket, before: Call | None) -> Recalled:
        """Return what the memory says of a ticket, or said of it for the call ``before``."""
        if self.small.reached():
            raise self.small.hold()
        if before is not None and (known := self._before(ticket, before)) is not None:
            self._looked_up("carried")
            return known
        if self._is_silent:
            raise self.silent.hold()
        try:
            found = await self._look_up(ticket)
        except TryAgain as error:
            if not self._is_silent:
                log.warning("embeddings cannot be had: tickets wait", problem=str(error))
            self._is_silent = True
            raise self.silent.hold() from None
        self._looked_up("embedded" if found != Recalled() else "nothing")
        return found

    async def _look(self) -> None:
        """See whether the embedder answers again, or wait a moment."""
        try:
            await self._try_out()
        except TryAgain:
            await asyncio.sleep(LOOK_EVERY_S)
            return
        self._is_silent = False
        log.info("embeddings can be had again")

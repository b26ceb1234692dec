"""Trials out of the same money as other calls: without any left none is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from schemas import Call, Reason, Ticket
from streams.agents.model import Model, ModelAround

#: Asks, or returns None if what that may cost is not left.
Pay = Callable[[Callable[[], Awaitable[Call]]], Awaitable[Call | None]]


class PaidTrials(ModelAround):
    """A model whose trials are made through ``pay``; what it is asked about tickets is paid elsewhere."""

    def __init__(self, model: Model, pay: Pay) -> None:
        super().__init__(model)
        self._pay = pay

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Call:
        """Ask about one ticket."""
        return await self._model.ask(ticket, before)

    async def try_out(self) -> Call:
        """Ask with a fixed text; return a call that was not made, for that reason, if no money is left for it.

        Raises Hold while the other workers cannot be told.
        """
        call = await self._pay(self._model.try_out)
        return self.unasked(Reason.OVER_BUDGET, "not tried: the money is spent") if call is None else call

"""Asks how surprising a ticket's text is, alongside the question for its label."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from schemas import Call, TextPerplexity, Ticket
from streams.agents.model import Model, ModelAround

#: Asks how surprising one text is, and returns what came of it.
Measure = Callable[[str], Awaitable[TextPerplexity]]


class WithPerplexity(ModelAround):
    """A model that is asked for the label and the text's perplexity at once; the call carries both, and both costs."""

    def __init__(self, model: Model, measure: Measure) -> None:
        super().__init__(model)
        self._measure = measure

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Call:
        """Ask both, and return the call with the perplexity."""
        call, perplexity = await asyncio.gather(self._model.ask(ticket, before), self._measure(ticket.text))
        return call.model_copy(update={"perplexity": perplexity})

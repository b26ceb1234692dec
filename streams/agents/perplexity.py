"""Asks how surprising a ticket's text is, alongside the question for its label."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from schemas import Call, Reason, TextPerplexity, Tier
from streams.agents.model import Model

#: Asks how surprising one text is, and returns what came of it.
Measure = Callable[[str], Awaitable[TextPerplexity]]


class WithPerplexity:
    """A model that is asked for the label and the text's perplexity at once; the call carries both, and both costs."""

    def __init__(self, model: Model, measure: Measure) -> None:
        self._model = model
        self._measure = measure

    @property
    def tier(self) -> Tier:
        """The tier of the model that is asked for the label."""
        return self._model.tier

    @property
    def model_asked(self) -> str:
        """The name of the model that is asked for the label."""
        return self._model.model_asked

    async def ask(self, text: str) -> Call:
        """Ask both, and return the call with the perplexity."""
        call, perplexity = await asyncio.gather(self._model.ask(text), self._measure(text))
        return call.model_copy(update={"perplexity": perplexity})

    async def try_out(self) -> Call:
        """Ask the model once with a fixed text."""
        return await self._model.try_out()

    def unasked(self, reason: Reason, detail: str) -> Call:
        """Return the call of a ticket that neither is asked about."""
        return self._model.unasked(reason, detail)

"""Asks how surprising a ticket's text is, beside the question for its label."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from schemas import Call, TextPerplexity
from streams.agents.classify import Ask

#: Asks how surprising one text is, and returns what came of it.
Measure = Callable[[str], Awaitable[TextPerplexity]]


def with_perplexity(ask: Ask, measure: Measure) -> Ask:
    """Return a question for both at once; the call carries the perplexity and its cost, whatever came of either."""

    async def both(text: str) -> Call:
        call, perplexity = await asyncio.gather(ask(text), measure(text))
        return call.model_copy(update={"perplexity": perplexity})

    return both

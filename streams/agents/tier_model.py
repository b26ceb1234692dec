"""A tier's endpoint, asked about a ticket with what the memory says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from schemas import Call, Reason, Ticket, Tier
from streams.core.memory.recall import Recalled
from streams.models.classifier import ModelClient

#: What the memory says of a ticket, which an earlier call about it may know already.
Recall = Callable[[Ticket, Call | None], Awaitable[Recalled]]


class TierModel:
    """The model without guards; ``recall`` is None without a memory."""

    def __init__(self, client: ModelClient, recall: Recall | None) -> None:
        self._client = client
        self._recall = recall

    @property
    def tier(self) -> Tier:
        """The tier that it answers for."""
        return self._client.tier

    @property
    def model_asked(self) -> str:
        """The model's name as it is asked for."""
        return self._client.model_asked

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Call:
        """Ask about one ticket and return the call, whether or not an answer came back.

        What the memory said for the call ``before`` is not looked up again, if that call was made to the same prompt: one
        with another embedding model has other neighbours.
        """
        if before is not None and before.prompt_hash != self._client.prompt_hash:
            before = None
        recalled = Recalled() if self._recall is None else await self._recall(ticket, before)
        return await self._client.ask(ticket.text, recalled)

    async def try_out(self) -> Call:
        """Ask once, with a fixed text and without further attempts, to see whether the endpoint answers."""
        return await self._client.try_out()

    def unasked(self, reason: Reason, detail: str) -> Call:
        """Return the call of a ticket that the model is not asked about: no attempt, no cost."""
        return self._client.unasked(reason, detail)

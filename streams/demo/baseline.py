"""What one tier alone would have answered: recorded answers if there are any, else asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from schemas import Call, Ticket, total_usd
from streams.core.memory.recall import Recalled
from streams.models.classifier import ModelClient


@dataclass(frozen=True, slots=True)
class Baseline:
    """One tier's label and cost (USD, one answered call) for every ticket."""

    labels: Mapping[str, str | None]
    costs: Mapping[str, float | None]

    @property
    def cost_usd(self) -> float | None:
        """What asking this tier about every ticket costs; None if the model's price is unknown."""
        return total_usd(self.costs.values())


async def baseline(
    client: ModelClient,
    tickets: Mapping[str, Ticket],
    recorded: Mapping[str, Call],
    recalled: Mapping[str, Recalled],
) -> Baseline:
    """Return what the client's tier says about every ticket; ``recorded`` calls that were answered are not asked again.

    ``recalled`` is what the memory says of the tickets, if there is one.
    """

    async def one(key: str, ticket: Ticket) -> tuple[str, str | None, float | None]:
        call = recorded.get(key)
        if call is None or call.signal.label is None:
            call = await client.ask(ticket.text, recalled.get(key, Recalled()))
        last = call.attempts[-1].cost_usd if call.attempts else 0.0
        return key, call.signal.label, last

    answers = await asyncio.gather(*(one(key, ticket) for key, ticket in tickets.items()))
    return Baseline({key: label for key, label, _ in answers}, {key: cost for key, _, cost in answers})

"""A tier's endpoint with and without a memory."""

from __future__ import annotations

from typing import Any

from schemas import Call, Reason, Ticket
from streams.agents.tier_model import TierModel
from streams.core.memory.recall import Recalled
from tests.support.messages import call, ticket


class Client:
    """Keeps what it is asked."""

    tier, model_asked, prompt_hash = "cheap", "cheap-model", "hash-1"

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def ask(self, text: str, recalled: Recalled) -> Call:
        self.asked.append((text, recalled))
        return call()

    async def try_out(self) -> Call:
        self.asked.append(("trial",))
        return call()

    def unasked(self, reason: Reason, detail: str) -> Call:
        return call(answer=detail)


async def test_a_ticket_is_asked_about_with_what_the_memory_says_of_it() -> None:
    known: list[Call | None] = []

    async def recall(one: Ticket, before: Call | None) -> Recalled:
        known.append(before)
        return Recalled(neighbour_label=one.ticket_id)

    client = Client()
    model = TierModel(client, recall)  # type: ignore[arg-type]
    assert await model.ask(ticket("t-9", "Where?")) == call()
    assert client.asked == [("Where?", Recalled(neighbour_label="t-9"))]
    assert (model.tier, model.model_asked) == ("cheap", "cheap-model")
    same, other = call(prompt_hash="hash-1"), call(prompt_hash="hash-2")
    await model.ask(ticket(), same)
    await model.ask(ticket(), other)
    assert known == [None, same, None], "a call to another prompt may have had other neighbours"


async def test_without_a_memory_and_in_a_trial_nothing_is_looked_up() -> None:
    client = Client()
    model = TierModel(client, None)  # type: ignore[arg-type]
    await model.ask(ticket(text="Where?"))
    await model.try_out()
    assert client.asked == [("Where?", Recalled()), ("trial",)]
    assert model.unasked(Reason.OVER_BUDGET, "why").answer == "why"

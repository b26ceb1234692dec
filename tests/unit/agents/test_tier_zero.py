"""Tier zero as the agent classify runs it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas import Call, Classification, Review, Routed, Ticket
from streams.agents.outcomes import known
from streams.agents.tier_zero import RecalledOnce, TierZeroHandler
from streams.core.memory.example import Example
from streams.core.memory.recall import NearExample, Recalled
from streams.core.policy.policy import Policy, decide_memory
from tests.support.handlers import classify
from tests.support.messages import arrival, call
from tests.support.tier_zero import POLICY, votes


class Recalling:
    """A memory that knows near-duplicates of one text, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, ticket: Ticket, before: Call | None) -> Recalled:
        self.asked.append(ticket.text)
        similarity = 0.99 if ticket.text == "known" else 0.5
        near = [NearExample(Example(f"e-{n}", None, "known", "refund"), similarity) for n in range(3)]
        return Recalled(novelty=1 - similarity, neighbour_label="refund", neighbour_share=1.0, neighbours=tuple(near))


def handler(policy: Policy, calls: list[str]) -> tuple[TierZeroHandler, RecalledOnce, Recalling]:
    memory = Recalling()
    once = RecalledOnce(memory)

    async def ask(text: str) -> Call:
        calls.append(text)
        await once(Ticket(ticket_id="t-1", text=text))
        return call()

    return TierZeroHandler(classify(ask, policy), once, policy, lambda: 77), once, memory


async def outputs(policy: Policy, text: str, calls: list[str]) -> Sequence[object]:
    return await handler(policy, calls)[0](arrival(text=text))


async def test_a_known_ticket_is_answered_without_a_call() -> None:
    calls: list[str] = []
    [result] = await outputs(POLICY, "known", calls)
    assert isinstance(result, Routed)
    assert (result.label, result.decided_by, result.calls, result.cost_usd) == ("refund", "memory", (), 0.0)
    assert (result.confidence, result.entropy, result.at_ms, result.policy_id) == (1.0, 0.0, 77, POLICY.id)
    assert [one.id for one in result.neighbours] == ["e-0", "e-1", "e-2"]
    assert calls == []


async def test_any_other_ticket_is_the_models_and_is_looked_up_once() -> None:
    calls: list[str] = []
    handle, _, memory = handler(POLICY, calls)
    [result] = await handle(arrival(text="new"))
    assert isinstance(result, Classification)
    assert calls == memory.asked == ["new"]


async def test_an_answer_drawn_for_audit_is_a_review_that_suggests_it() -> None:
    [result] = await outputs(POLICY.model_copy(update={"audit_share": 1.0}), "known", [])
    assert isinstance(result, Review)
    assert (result.suggested, result.reasons, result.calls, result.uncertainty) == ("refund", ("audit",), (), 0.0)


def test_no_result_is_made_under_a_policy_that_did_not_bound_the_memorys_error() -> None:
    answer = decide_memory(POLICY, "t-1", votes(("refund", 0.99), ("refund", 0.99)))
    assert answer is not None
    message = arrival()
    unbounded = POLICY.model_copy(update={"fitted": None})
    with pytest.raises(TypeError, match="the memory may not answer this"):
        known(message.ticket, message.turn, answer, unbounded, 0)

"""Calls that an earlier worker had handed on and not committed are taken over, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas import TOPICS, Call, Message, Reason, Tier, Turn, topic_of
from streams.agents.paid_calls import PaidCalls
from streams.core.policy.policy import Policy
from tests.support.handlers import classify, escalate
from tests.support.messages import (
    TURN,
    arrival,
    attempt,
    call,
    classification,
    dead_letter,
    escalation,
    review,
    routed,
    ticket,
    unscorable,
)
from tests.support.records import FakeRecord

CHEAP, BIG = call(), call("big")
BOTH = (CHEAP, BIG)
ENDED = routed(decided_by="big", calls=BOTH)


class Tail:
    """The end of some topics; counts how often it is read."""

    def __init__(self, *messages: Message) -> None:
        self.messages: Sequence[Message] = messages
        self.reads = 0

    async def __call__(self) -> list[FakeRecord]:
        self.reads += 1
        topics = [topic_of(message) for message in self.messages]
        return [
            FakeRecord(0, message.encode(), topic.key_of(message), topic.name)
            for topic, message in zip(topics, self.messages, strict=True)
        ]


def read(record: FakeRecord) -> Message:
    return TOPICS[record.topic].message.decode(record.value)


async def paid(tier: Tier, *messages: Message, taken: list[int] | None = None) -> PaidCalls:
    def count() -> None:
        if taken is not None:
            taken.append(1)

    found = PaidCalls(tier, f"{tier}-model", CHEAP.prompt_hash, Tail(*messages), read, count)
    await found.catch_up({("any", 0): 0})
    return found


async def never(text: str) -> Call:
    raise AssertionError("it was asked again")


async def test_classify_hands_the_call_on_that_was_paid_for() -> None:
    taken: list[int] = []
    handler = classify(never, paid=(await paid("cheap", classification(), taken=taken)).take)
    [output] = await handler(arrival())
    assert (output.call, taken) == (CHEAP, [1])


@pytest.mark.parametrize("handed_on", [ENDED, review(calls=BOTH)])
async def test_escalate_decides_on_the_call_that_was_paid_for(handed_on: Message) -> None:
    handler = escalate(never, Policy(), paid=(await paid("big", handed_on)).take)
    [output] = await handler(escalation())
    assert output.calls == BOTH


@pytest.mark.parametrize(
    "other",
    [
        classification(text="Another text"),
        classification().model_copy(update={"run": 3}),
        classification(ticket_id="t-2"),
        classification(unscorable(Reason.NO_ANSWER)).model_copy(
            update={"call": call(signal=unscorable(Reason.NO_ANSWER), attempts=(attempt(outcome="timeout"),))}
        ),
        classification().model_copy(update={"call": call(model_asked="another-model")}),
        classification().model_copy(update={"call": call(prompt_hash="another")}),
        dead_letter(),
    ],
)
async def test_the_cheap_model_is_asked_if_no_call_is_about_this_text_in_this_run(other: Message) -> None:
    assert (await paid("cheap", other)).take(ticket(), TURN) is None


@pytest.mark.parametrize(
    "other",
    [
        routed(),
        routed(calls=(call(answer="another"), BIG)),
        ENDED.model_copy(update={"run": 1}),
        review(calls=(call(answer="another"), BIG)),
        review(calls=BOTH, ticket=ticket(text="Another text")),
    ],
)
async def test_the_big_model_is_asked_if_no_call_came_after_this_cheap_one(other: Message) -> None:
    assert (await paid("big", other)).take(ticket(), TURN, CHEAP) is None


async def test_a_result_that_does_not_say_its_text_counts_only_with_the_call_before() -> None:
    straight = routed(decided_by="big", calls=(BIG,))
    assert (await paid("big", straight)).take(ticket(), TURN) is None
    named = review(calls=(BIG,))
    found = (await paid("big", named)).take(ticket(), TURN)
    assert found is not None
    assert found.call == BIG


async def test_the_last_one_counts_and_is_taken_once() -> None:
    last = call(answer="payment")
    calls = await paid("cheap", classification(), classification().model_copy(update={"call": last}))
    found = calls.take(ticket(), Turn())
    assert found is not None
    assert found.call == last
    assert calls.take(ticket(), Turn()) is None


async def test_the_tail_is_read_once_in_an_assignment() -> None:
    tail = Tail(classification())
    calls = PaidCalls("cheap", "cheap-model", CHEAP.prompt_hash, tail, read)
    await calls.catch_up({("tickets", 0): 5})
    await calls.catch_up({("tickets", 1): 5})
    assert tail.reads == 1
    calls.forget()
    assert calls.take(ticket(), TURN) is None
    await calls.catch_up({("tickets", 0): 9})
    assert tail.reads == 2
    assert calls.take(ticket(), TURN) is not None

"""A ticket that goes straight to the big tier: no cheap call is asked, paid, counted or missed."""

from __future__ import annotations

import pytest

from schemas import Call, Escalation, Review, Routed
from streams.core.policy.policy import CheapRule, Policy, skips_cheap
from streams.observability.metrics import MetricsObserver
from tests.support.handlers import classify, escalate
from tests.support.messages import LABELS, TURN, arrival, call, scored, ticket, unscorable

POLICY = Policy(id="straight", cheap=CheapRule(max_chars=20))
STRAIGHT = Escalation(
    ticket=ticket(text="x" * 21), reasons=("straight_to_big",), policy_id="straight", ticket_at_ms=TURN.ticket_at_ms
)


async def never(text: str) -> Call:
    raise AssertionError(f"asked about {text}")


async def big(text: str) -> Call:
    return call("big")


@pytest.mark.parametrize(("length", "skips"), [(20, False), (21, True)])
def test_only_a_longer_text_skips_the_cheap_tier(length: int, skips: bool) -> None:
    assert skips_cheap(POLICY, "x" * length) is skips
    assert not skips_cheap(Policy(), "x" * length)


async def test_classify_escalates_without_asking() -> None:
    (message,) = await classify(never, POLICY)(arrival(text="x" * 21))
    assert message == STRAIGHT
    assert Escalation.decode(STRAIGHT.encode()) == STRAIGHT


async def test_an_escalation_without_a_cheap_call_is_decided_on_the_big_one_alone() -> None:
    (message,) = await escalate(big, POLICY, len(LABELS))(STRAIGHT)
    assert isinstance(message, Routed)
    assert (message.decided_by, message.reasons) == ("big", ("cheap:straight_to_big",))
    assert [one.tier for one in message.calls] == ["big"]


async def test_and_goes_to_a_person_without_a_signal() -> None:
    async def blind(text: str) -> Call:
        return call("big", unscorable())

    (message,) = await escalate(blind, POLICY, len(LABELS))(STRAIGHT)
    assert isinstance(message, Review)
    assert message.reasons == ("cheap:straight_to_big", "big:no_signal:logprobs_null")


async def test_its_big_call_is_counted() -> None:
    observer = MetricsObserver()
    observer.handled("escalate", await escalate(big, POLICY, len(LABELS))(STRAIGHT), 0.1)
    attempts = observer.registry.get_sample_value("hedgerow_model_attempts_total", {"tier": "big", "outcome": "ok"})
    assert attempts == 1.0


async def test_a_short_text_is_asked_about_as_ever() -> None:
    async def cheap(text: str) -> Call:
        return call("cheap", scored())

    (message,) = await classify(cheap, POLICY)(arrival(text="short"))
    assert not isinstance(message, Escalation)

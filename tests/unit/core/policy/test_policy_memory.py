"""What the memory holds against an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Call, Tier
from streams.core.policy.policy import BigRule, CheapRule, Policy, decide_big, decide_cheap
from tests.support.messages import call, scored, unscorable

CHEAP = Policy(cheap=CheapRule(max_novelty=0.3, neighbours_disagree=0.5))
BIG = Policy(big=BigRule(max_novelty=0.3, neighbours_disagree=0.5))


def remembered(
    tier: Tier = "cheap", novelty: float | None = 0.2, label: str | None = "refund", share: float = 1.0
) -> Call:
    """A confident answer, refund, about a ticket of which a memory says this."""
    return call(tier, scored("refund"), novelty=novelty, neighbour_label=label, neighbour_share=share)


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ({}, ()),
        ({"novelty": 0.3}, ()),
        ({"novelty": 0.31}, ("novel",)),
        ({"novelty": None}, ("novel",)),
        ({"label": "account", "share": 0.4}, ()),
        ({"label": "account", "share": 0.5}, ("neighbours_disagree",)),
        ({"label": None, "share": 0.0}, ()),
        ({"label": "account", "novelty": 0.9}, ("novel", "neighbours_disagree")),
    ],
)
def test_each_tier_has_limits_of_its_own(said: dict[str, Any], reasons: tuple[str, ...]) -> None:
    cheap, big = remembered(**said), remembered("big", **said)
    decided = decide_cheap(CHEAP, "t-1", cheap)
    assert (decided.action, decided.reasons) == ("escalate" if reasons else "accept", reasons)
    judged = decide_big(BIG, "refund", big)
    assert (judged.action, judged.reasons) == ("review" if reasons else "accept", reasons)
    assert decide_cheap(Policy(), "t-1", cheap).action == decide_big(Policy(), "refund", big).action == "accept"


def test_the_big_model_is_not_paid_for_a_ticket_that_is_too_novel_for_its_answer_to_count() -> None:
    doubtful = call("cheap", scored("refund", confidence=0.3), novelty=0.9)
    decided = decide_cheap(BIG, "t-1", doubtful)
    assert (decided.action, decided.reasons) == ("review", ("low_confidence", "novel"))
    blind = call("cheap", unscorable(), novelty=0.9)
    assert decide_cheap(BIG, "t-1", blind).reasons == ("no_signal:logprobs_null", "novel")
    assert decide_cheap(BIG, "t-1", blind).action == "review"
    familiar = call("cheap", scored("refund", confidence=0.3), novelty=0.1)
    assert decide_cheap(BIG, "t-1", familiar).action == "escalate"
    assert decide_cheap(BIG, "t-1", remembered(novelty=0.9)).action == "accept", "the cheap tier has no limit here"


def test_a_policy_that_looks_at_novelty_accepts_nothing_without_a_memory() -> None:
    assert decide_cheap(CHEAP, "t-1", call("cheap")).reasons == ("novel",)
    assert decide_big(BIG, "refund", call("big")).reasons == ("novel",)


@given(st.none() | st.floats(0, 2), st.none() | st.sampled_from(["refund", "account"]), st.none() | st.floats(0, 1))
def test_a_memory_only_ever_takes_an_acceptance_away(
    novelty: float | None, label: str | None, share: float | None
) -> None:
    signal = scored("refund", confidence=0.3)
    said = {"novelty": novelty, "neighbour_label": label, "neighbour_share": share}
    assert decide_cheap(CHEAP, "t-1", call("cheap", signal, **said)).action != "accept"
    assert decide_big(BIG, "refund", call("big", signal, **said)).action == "review"

"""What labelled tickets may answer alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import Neighbour
from streams.core.policy.fitted import BoundedMemory, Fitted
from streams.core.policy.policy import MemoryRule, Policy, decide_memory
from tests.support.tier_zero import FITTED, POLICY, RULE, votes


def test_near_duplicates_that_agree_answer_with_both_numbers_and_their_ids() -> None:
    answer = decide_memory(POLICY, "t", votes(("refund", 0.99), ("refund", 0.9), ("account", 0.89)))
    assert answer is not None
    assert (answer.label, answer.decision.action) == ("refund", "accept")
    assert (answer.decision.confidence, answer.decision.entropy) == (1.0, 0.0)
    assert [one.id for one in answer.voters] == ["e-0", "e-1"]


def test_the_numbers_are_the_share_and_the_entropy_of_the_votes() -> None:
    answer = decide_memory(POLICY, "t", votes(*[("refund", 0.95)] * 3, (None, 0.95)))
    assert answer is not None
    assert answer.decision.confidence == 0.75
    assert answer.decision.entropy == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))


@pytest.mark.parametrize(
    "near",
    [
        votes(),
        votes(("refund", 0.99)),
        votes(("refund", 0.99), ("refund", 0.89)),
        votes(("refund", 0.99), ("account", 0.98)),
        votes(*[(None, 0.99)] * 3),
        votes(*[("fees", 0.99)] * 3),
    ],
    ids=[
        "none near",
        "one of two",
        "one too far",
        "they disagree",
        "they fit no label",
        "their label is none any more",
    ],
)
def test_otherwise_a_model_is_asked(near: list[Neighbour]) -> None:
    assert decide_memory(POLICY, "t", near) is None


def test_the_memory_is_silent_unless_it_is_switched_on() -> None:
    assert decide_memory(Policy(fitted=FITTED), "t", votes(*[("refund", 1.0)] * 8)) is None


def test_an_answer_that_is_drawn_for_audit_goes_to_a_reviewer() -> None:
    answer = decide_memory(POLICY.model_copy(update={"audit_share": 1.0}), "t", votes(*[("refund", 1.0)] * 2))
    assert answer is not None
    assert (answer.decision.action, answer.decision.reasons) == ("review", ("audit",))


@pytest.mark.parametrize(
    "fitted",
    [
        None,
        FITTED.model_copy(update={"tier_zero": None}),
        FITTED.model_copy(update={"tier_zero": BoundedMemory(answered=200, wrong=4, bound=0.06)}),
    ],
)
def test_a_policy_whose_calibration_did_not_bound_the_memory_is_refused(fitted: Fitted | None) -> None:
    values = Policy(fitted=fitted).model_dump(mode="json") | {"memory": RULE.model_dump()}
    with pytest.raises(ValidationError, match="bounded the memory's own error"):
        Policy.model_validate(values)


def test_a_policy_survives_its_file() -> None:
    assert Policy.model_validate_json(POLICY.model_dump_json()) == POLICY


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.builds(
        MemoryRule,
        min_similarity=st.floats(0.01, 1),
        min_votes=st.integers(1, 8),
        min_share=st.floats(0.51, 1),
    ),
    st.lists(st.tuples(st.sampled_from(["refund", "account", None]), st.floats(0, 1)), max_size=8),
)
def test_an_answer_has_the_votes_that_the_rule_asks_for_and_less_similarity_never_adds_one(
    rule: MemoryRule, rows: list[tuple[str | None, float]]
) -> None:
    policy = POLICY.model_copy(update={"memory": rule})
    answer = decide_memory(policy, "t", votes(*rows))
    if answer is None:
        return
    assert len(answer.voters) >= rule.min_votes
    assert all(one.similarity >= rule.min_similarity for one in answer.voters)
    agreeing = sum(one.label == answer.label for one in answer.voters)
    assert answer.decision.confidence == agreeing / len(answer.voters) >= rule.min_share
    assert 0 <= (answer.decision.entropy or 0.0) <= math.log(3) + 1e-9
    assert decide_memory(policy, "t", votes(*((label, 0.0) for label, _ in rows))) is None

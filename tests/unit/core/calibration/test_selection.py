from __future__ import annotations

import pytest
from scipy.stats import binom

from schemas import Tier
from streams.core.calibration.bounds import prediction_bound, upper_bound
from streams.core.calibration.figures import whatif
from streams.core.calibration.policy_replay import replay
from streams.core.calibration.selection import MIN_LABELLED, NoPolicy, halves, select, shown
from streams.core.policy.policy import Policy
from tests.support.answers import PROMISE, records, true_error, underconfident

ROWS = records(1200, worth=underconfident)
FRESH = records(6000, seed=99, worth=underconfident)
CHOSEN = select(ROWS, PROMISE)


def test_the_halves_are_the_same_whatever_the_order() -> None:
    one, other = halves(ROWS)
    assert (one, other) == halves(ROWS[::-1])
    assert {row.ticket.ticket_id for row in one}.isdisjoint(row.ticket.ticket_id for row in other)
    assert len(one) == len(other) == 600
    assert halves(ROWS, seed=1)[0] != one


def test_the_promise_is_kept_on_fresh_records() -> None:
    figures = whatif(CHOSEN.policy, FRESH)
    assert figures["accepted_error"] <= PROMISE.max_error
    assert figures["accuracy"] >= PROMISE.keep * figures["accuracy_all_big"]
    assert figures["saving"] >= PROMISE.min_saving
    assert figures["review_rate"] <= PROMISE.max_review
    assert figures["ece"] <= 0.02


def test_the_chosen_step_is_the_last_that_passed_and_its_numbers_are_those_of_the_tested_half() -> None:
    assert CHOSEN.chosen is [step for step in CHOSEN.path if step.passed][-1]
    assert [step.passed for step in CHOSEN.path[:-1]] == [True] * (len(CHOSEN.path) - 1)
    rights = [one.right for one in replay(CHOSEN.policy, CHOSEN.tested) if one.right is not None]
    assert (CHOSEN.chosen.accepted, CHOSEN.chosen.wrong) == (len(rights), rights.count(False))
    wrong, accepted = CHOSEN.chosen.wrong, CHOSEN.chosen.accepted
    assert CHOSEN.chosen.bound == max(
        upper_bound(wrong, accepted, 0.95), prediction_bound(wrong, accepted, accepted, 0.95)
    )
    assert CHOSEN.chosen.bound <= PROMISE.max_error


def test_the_choice_is_the_same_every_time() -> None:
    assert select(ROWS[::-1], PROMISE).policy == CHOSEN.policy


def test_the_tested_half_has_no_part_in_the_path() -> None:
    """Whatever the labels of the second half are, the policies that are tested on it stay the same."""
    tested = {row.ticket.ticket_id for row in halves(ROWS)[1]}
    flipped = [
        row.model_copy(update={"ticket": row.ticket.model_copy(update={"label": row.big.signal.label})})
        if row.ticket.ticket_id in tested
        else row
        for row in ROWS
    ]
    for one, other in zip(CHOSEN.path, select(flipped, PROMISE).path, strict=False):
        assert one.policy == other.policy


def test_a_tighter_bound_is_not_kept_by_accepting_more() -> None:
    strict = select(ROWS, PROMISE.model_copy(update={"max_error": 0.04}))
    assert whatif(strict.policy, FRESH)["accepted_error"] <= 0.04
    assert strict.chosen.bound <= 0.04


def test_dearer_people_are_asked_less() -> None:
    asked = {"keep": 0.0, "min_saving": -1.0}
    dear, free = (
        whatif(select(ROWS, PROMISE.model_copy(update={**asked, "review_usd": usd})).policy, FRESH)
        for usd in (1.0, 0.0)
    )
    assert dear["review_rate"] < free["review_rate"]
    assert dear["cost_usd"] > free["cost_usd"]


def test_a_policy_keeps_what_is_not_searched() -> None:
    base = Policy(min_top_k_mass=0.9, audit_share=0.1, max_escalations_per_hour=50, basis="token")
    found = select(ROWS, PROMISE, base=base).policy
    assert (found.min_top_k_mass, found.audit_share, found.max_escalations_per_hour, found.basis) == (
        0.9, 0.1, 50, "token",
    )  # fmt: skip


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(NoPolicy, match=f"at least {MIN_LABELLED}"):
        select(records(MIN_LABELLED - 1), PROMISE)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"max_error": 0.001}, r"under 0.10% at 95% confidence with at most 30% in review"),
        ({"max_error": 0.0}, r"under 0.00%"),
        ({"max_error": 0.004, "max_review": 0.9}, r"the surest one tried got \d+ of \d+ wrong.*allow more error"),
    ],
)
def test_out_of_reach_is_one_line_that_says_what_is_reachable(change: dict[str, float], match: str) -> None:
    with pytest.raises(NoPolicy, match=match) as told:
        select(ROWS, PROMISE.model_copy(update=change))
    assert "\n" not in str(told.value)


def test_shown_leaves_out_what_has_no_label_or_no_signal() -> None:
    row = ROWS[0]
    nameless = row.model_copy(update={"ticket": row.ticket.model_copy(update={"label": None})})
    confidence, right = shown([row, nameless], "cheap", Policy())
    assert confidence.tolist() == [row.cheap.signal.confidence]  # type: ignore[union-attr]
    assert right.tolist() == [float(row.cheap.signal.label == row.gold)]


def test_over_many_draws_the_true_error_breaks_the_bound_no_more_often_than_the_level_allows() -> None:
    """At 80 %, on small sets and with a bound that pinches, so that a choice by the best figure would show at once."""
    promise = PROMISE.model_copy(update={"max_error": 0.04, "level": 0.8, "keep": 0.0, "min_saving": -1.0})
    draws, broken = 20, 0
    for seed in range(draws):
        try:
            policy = select(records(240, seed=1000 + seed, worth=underconfident), promise).policy
        except NoPolicy:
            continue
        ends: dict[str, Tier] = {
            one.record.ticket.ticket_id: one.end for one in replay(policy, FRESH[:2000]) if one.end != "review"
        }
        broken += true_error(FRESH[:2000], ends, underconfident) > promise.max_error
    assert broken <= binom.ppf(0.999, draws, 0.2)

"""When labelled tickets may answer alone, by records."""

from __future__ import annotations

import datetime
import random

import pytest

from schemas import Neighbour
from streams.core.calibration.bounds import upper_bound
from streams.core.calibration.calibration_report import fitted_policy, report
from streams.core.calibration.figures import whatif
from streams.core.calibration.memory_rule import RULES, choose_memory_rule
from streams.core.calibration.policy_replay import replay
from streams.core.calibration.records import Record
from streams.core.calibration.selection import select
from streams.core.calibration.threshold_sweep import sweep
from streams.core.policy.policy import Policy
from tests.support.answers import PROMISE, records
from tests.support.messages import LABELS

DATE = datetime.date(2026, 8, 1)


def known(row: Record, place: int, *, right: float = 0.995) -> Record:
    """Three of ten tickets have two near-duplicates, whose label is the right one in this share of them."""
    chance = random.Random(place)
    if place % 10 > 2:
        return row
    label = row.gold if chance.random() < right else chance.choice([one for one in LABELS if one != row.gold])
    near = tuple(Neighbour(id=f"e-{place}-{n}", similarity=0.95, label=label) for n in range(2))
    return row.model_copy(update={"near": near})


ROWS = [known(row, place) for place, row in enumerate(records(1500))]
CHOSEN = select(ROWS, PROMISE, tier_zero=True)


def test_the_rule_that_answers_the_most_is_chosen_and_its_bound_is_for_all_rules_together() -> None:
    found = choose_memory_rule(ROWS, Policy(), PROMISE)
    assert found is not None
    rule, bounded = found
    assert (rule.min_similarity, rule.min_votes) == (0.94, 2)
    assert bounded.answered == 450
    assert bounded.bound == upper_bound(bounded.wrong, 450, 1 - 0.05 / len(RULES)) <= PROMISE.max_error


@pytest.mark.parametrize("right", [0.9, 0.5])
def test_labelled_tickets_that_are_often_wrong_answer_nothing(right: float) -> None:
    rows = [known(row, place, right=right) for place, row in enumerate(records(1500))]
    assert choose_memory_rule(rows, Policy(), PROMISE) is None
    assert select(rows, PROMISE, tier_zero=True).policy == select(rows, PROMISE).policy


def test_an_answer_about_a_ticket_out_of_scope_is_wrong() -> None:
    outside = [
        row.model_copy(update={"ticket": row.ticket.model_copy(update={"label": None})}) if place % 10 == 0 else row
        for place, row in enumerate(ROWS)
    ]
    assert choose_memory_rule(outside, Policy(), PROMISE) is None


def test_few_records_prove_nothing() -> None:
    assert choose_memory_rule(ROWS[:60], Policy(), PROMISE) is None


def test_the_memory_is_part_of_the_policy_of_its_test_and_of_its_figures() -> None:
    assert CHOSEN.policy.memory is not None
    ends = [one.end for one in replay(CHOSEN.policy, CHOSEN.tested)]
    assert CHOSEN.chosen.accepted == len([end for end in ends if end != "review"])
    assert whatif(CHOSEN.policy, CHOSEN.tested)["routed_memory"] == ends.count("memory") > 150
    plain = whatif(select(ROWS, PROMISE).policy, CHOSEN.tested)
    assert plain["routed_memory"] == 0
    assert whatif(CHOSEN.policy, CHOSEN.tested)["cost_usd"] < plain["cost_usd"]


def test_the_sweep_counts_what_a_replay_counts() -> None:
    policy = CHOSEN.policy.model_copy(update={"calibration": Policy().calibration})
    swept = sweep(CHOSEN.explored, policy)
    for i, j in [(0, 0), (len(swept.cheap) // 2, len(swept.big) // 2), (-1, -1)]:
        outcomes = replay(policy.model_copy(update={"cheap": swept.cheap[i], "big": swept.big[j]}), CHOSEN.explored)
        accepted = [one for one in outcomes if one.accepted]
        assert swept.accepted[i, j] == len(accepted)
        assert swept.wrong[i, j] == sum(not one.right for one in accepted)
        assert swept.review[i, j] == len(outcomes) - len(accepted)
        assert swept.cost_usd[i, j] == pytest.approx(sum(one.cost_usd or 0.0 for one in outcomes))


def test_the_policy_file_carries_the_bound_and_the_report_says_what_the_memory_did() -> None:
    found = report(CHOSEN, PROMISE)
    policy = fitted_policy(CHOSEN, ROWS, PROMISE, DATE, found["figures"])
    assert policy.fitted is not None
    assert policy.fitted.tier_zero == CHOSEN.tier_zero
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy
    said = found["tier_zero"]
    assert said["tested"]["answered"] == whatif(policy, CHOSEN.tested)["routed_memory"]
    assert said["explored"]["bound"] <= PROMISE.max_error
    assert report(select(ROWS, PROMISE), PROMISE)["tier_zero"] is None

from __future__ import annotations

import random
from itertools import product

import pytest

from streams.core.calibration.policy_replay import replay
from streams.core.calibration.records import Record
from streams.core.calibration.threshold_sweep import Sweep, sweep
from streams.core.policy.calibration_map import Temperature
from streams.core.policy.policy import Calibration, Policy
from tests.support.answers import records
from tests.support.messages import LABELS, unscorable

POLICY = Policy(calibration=Calibration(cheap=Temperature(temperature=0.8), big=Temperature(temperature=0.7)))
ROWS = [
    row.model_copy(
        update={
            "ticket": row.ticket.model_copy(update={"label": None if place % 7 == 0 else row.ticket.label}),
            "cheap": row.cheap.model_copy(update={"signal": unscorable(label="refund")})
            if place % 11 == 0
            else row.cheap,
            "big": row.big.model_copy(update={"signal": unscorable()}) if place % 13 == 0 else row.big,
        }
    )
    for place, row in enumerate(records(150))
]
SWEPT = sweep(ROWS, POLICY)
PAIRS = random.Random(0).sample(list(product(range(len(SWEPT.cheap)), range(len(SWEPT.big)))), 150)


def test_every_figure_is_what_a_replay_counts() -> None:
    for i, j in PAIRS:
        outcomes = replay(POLICY.model_copy(update={"cheap": SWEPT.cheap[i], "big": SWEPT.big[j]}), ROWS)
        known = [one for one in outcomes if one.accepted]
        assert SWEPT.accepted[i, j] == len(known)
        assert SWEPT.wrong[i, j] == sum(not one.right for one in known)
        assert SWEPT.out_of_scope[i, j] == sum(one.record.gold is None for one in known)
        big_right = [one.record.gold in {one.record.big.signal.label} - {None} for one in known]
        assert SWEPT.big_wrong[i, j] == big_right.count(False)
        by_cheap = [(bool(one.right), big) for one, big in zip(known, big_right, strict=True) if one.end == "cheap"]
        assert SWEPT.lost[i] == by_cheap.count((False, True))
        assert SWEPT.won[i] == by_cheap.count((True, False))
        assert SWEPT.review[i, j] == sum(not one.accepted for one in outcomes)
        assert SWEPT.cost_usd[i, j] == pytest.approx(sum(one.cost_usd for one in outcomes))


def test_the_saving_is_against_asking_the_big_model_every_time() -> None:
    all_big = sum(row.big.cost_usd for row in ROWS)
    assert SWEPT.saving(ROWS) == pytest.approx(1 - SWEPT.cost_usd / all_big)


def test_the_saving_at_another_share_out_of_scope_is_that_of_as_many_such_tickets() -> None:
    inside, outside = [row for row in ROWS if row.gold], [row for row in ROWS if not row.gold]
    share = 2 * len(outside) / (len(inside) + 2 * len(outside))
    doubled = sweep(ROWS, POLICY).saving(ROWS, share)
    i, j = PAIRS[0]
    policy = POLICY.model_copy(update={"cheap": SWEPT.cheap[i], "big": SWEPT.big[j]})
    rows = inside + outside + outside
    cost, all_big = sum(one.cost_usd for one in replay(policy, rows)), sum(row.big.cost_usd for row in rows)
    assert doubled[i, j] == pytest.approx(1 - cost / all_big)


def test_abstaining_and_going_straight_to_the_big_tier_are_part_of_it() -> None:
    assert {rule.abstain_entropy is None for rule in SWEPT.cheap} == {True, False}
    assert {rule.max_chars is None for rule in SWEPT.cheap} == {True, False}
    assert len(set(SWEPT.cheap)) == len(SWEPT.cheap)
    assert len(set(SWEPT.big)) == len(SWEPT.big)


def test_no_rule_accepts_what_is_likelier_wrong_than_right() -> None:
    assert min(rule.min_confidence for rule in SWEPT.cheap) == 0.5
    assert min(rule.min_confidence for rule in SWEPT.big) == 0.5
    assert all(rule.min_confidence == rule.min_confidence_two_labels for rule in (*SWEPT.cheap, *SWEPT.big))


def test_records_without_a_signal_accept_nothing() -> None:
    blind = [
        row.model_copy(
            update={
                "cheap": row.cheap.model_copy(update={"signal": unscorable()}),
                "big": row.big.model_copy(update={"signal": unscorable()}),
            }
        )
        for row in ROWS[:20]
    ]
    found: Sweep = sweep(blind, POLICY)
    assert found.accepted.max() == 0
    assert found.review.min() == 20


def remembering(row: Record, place: int) -> Record:
    """The same answers, with something that a memory may say of the ticket."""
    chance = random.Random(place)
    said: dict[str, object] = {
        "novelty": None if place % 17 == 0 else chance.uniform(0, 0.8),
        "neighbour_label": chance.choice((*LABELS, None)),
        "neighbour_share": chance.choice((None, 0.25, 0.5, 0.75, 1.0)),
    }
    calls = {tier: getattr(row, tier).model_copy(update=said) for tier in ("cheap", "big")}
    return row.model_copy(update=calls)


def test_limits_of_novelty_and_of_the_neighbours_votes_are_part_of_it_if_the_records_have_them() -> None:
    assert {rule.max_novelty for rule in (*SWEPT.cheap, *SWEPT.big)} == {None}
    rows = [remembering(row, place) for place, row in enumerate(ROWS)]
    swept = sweep(rows, POLICY)
    for rules in (swept.cheap, swept.big):
        assert len({rule.max_novelty for rule in rules}) > 2
        assert {rule.neighbours_disagree for rule in rules} == {None, 0.5}
    looking = [
        [place for place, rule in enumerate(rules) if rule.max_novelty is not None]
        for rules in (swept.cheap, swept.big)
    ]
    chance = random.Random(1)
    for i, j in [(chance.choice(looking[0]), chance.choice(looking[1])) for _ in range(60)]:
        outcomes = replay(POLICY.model_copy(update={"cheap": swept.cheap[i], "big": swept.big[j]}), rows)
        known = [one for one in outcomes if one.accepted]
        assert swept.accepted[i, j] == len(known)
        assert swept.wrong[i, j] == sum(not one.right for one in known)
        assert swept.out_of_scope[i, j] == sum(one.record.gold is None for one in known)
        assert swept.cost_usd[i, j] == pytest.approx(sum(one.cost_usd for one in outcomes))

"""Over random answers: maps rise and stay probabilities, bounds are ordered, and nothing without a signal is accepted."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import Reason, Scored
from streams.core.calibration.bounds import prediction_bound, upper_bound
from streams.core.calibration.figures import figures
from streams.core.calibration.fit import applied, fit_isotonic, fit_logistic, fit_temperature
from streams.core.calibration.measures import auroc, ece, reliability, risk_coverage
from streams.core.calibration.policy_replay import replay
from streams.core.calibration.records import Record
from streams.core.policy.calibration_map import Evidence, Isotonic, Logistic, Temperature
from streams.core.policy.policy import Policy
from streams.core.statistics import binomial_at_most
from tests.property.test_policy_properties import policies
from tests.support.answers import record
from tests.support.messages import unscorable

seeded = settings(max_examples=150, deadline=None, derandomize=True)
few = settings(max_examples=60, deadline=None, derandomize=True)

shares = st.floats(0, 1)
answers = st.lists(st.tuples(shares, st.booleans()), min_size=2, max_size=60)
knots = st.lists(st.tuples(shares, shares), min_size=1, max_size=12, unique_by=lambda pair: pair[0])


def columns(rows: list[tuple[float, bool]]) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    return np.array([x for x, _ in rows]), np.array([float(y) for _, y in rows])


def line(pairs: list[tuple[float, float]]) -> Isotonic:
    return Isotonic(shown=tuple(sorted(x for x, _ in pairs)), right=tuple(sorted(y for _, y in pairs)))


maps = st.builds(Temperature, temperature=st.floats(0.01, 100)) | knots.map(line)


@seeded
@given(maps, shares, shares)
def test_a_map_rises_and_stays_a_probability(one: Temperature | Isotonic, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0.0 <= one(low) <= one(high) <= 1.0


weighings = st.builds(
    Logistic,
    intercept=st.floats(-50, 50),
    confidence=st.floats(0, 20),
    entropy=st.floats(-20, 0),
    novelty=st.floats(-50, 0),
    agreement=st.floats(0, 20),
    neighbour_novelty=st.floats(0, 20),
)
distances, agreements = st.none() | st.floats(0, 2), st.none() | st.floats(-1, 1)
known = st.builds(Evidence, shares, st.floats(0, 10), distances, agreements, distances)


@seeded
@given(weighings, known, known)
def test_more_that_speaks_for_an_answer_never_lowers_its_probability(one: Logistic, a: Evidence, b: Evidence) -> None:
    novelties = [2.0 if x.novelty is None else x.novelty for x in (a, b)]
    agreed = [-1.0 if x.agreement is None else x.agreement for x in (a, b)]
    dense = [x.neighbour_novelty or 0.0 for x in (a, b)]
    sure, torn = sorted((a.confidence, b.confidence)), sorted((a.entropy, b.entropy))
    worse = Evidence(sure[0], torn[1], max(novelties), min(agreed), min(dense))
    better = Evidence(sure[1], torn[0], min(novelties), max(agreed), max(dense))
    assert 0.0 <= one.probability(worse) <= one.probability(better) <= 1.0


@seeded
@given(st.lists(st.tuples(known, st.booleans()), min_size=2, max_size=40))
def test_any_answers_give_a_logistic_map_whose_weights_keep_their_signs(rows: list[tuple[Evidence, bool]]) -> None:
    evidence = [one for one, _ in rows]
    found = fit_logistic(evidence, np.array([float(right) for _, right in rows]))
    assert found == Logistic.model_validate(found.model_dump())
    assert np.isfinite(applied(found, evidence)).all()


@seeded
@given(answers)
@example([(0.0, False), (0.0, False), (2.2e-311, True)])
def test_any_answers_give_valid_maps_and_never_certainty(rows: list[tuple[float, bool]]) -> None:
    confidence, right = columns(rows)
    fit_temperature(confidence, right)
    found = fit_isotonic(confidence, right)
    assert 0.0 < found.right[0] <= found.right[-1] < 1.0


@seeded
@given(answers)
def test_measures_stay_in_range(rows: list[tuple[float, bool]]) -> None:
    confidence, right = columns(rows)
    assert 0.0 <= ece(confidence, right) <= 1.0
    assert sum(one.answers for one in reliability(confidence, right)) == len(rows)
    area = auroc(confidence, right)
    assert area is None or 0.0 <= area <= 1.0
    coverage, risk = risk_coverage(confidence, right)
    assert coverage.tolist() == sorted(coverage.tolist())
    assert risk[-1] == 1 - right.mean() or abs(risk[-1] - (1 - right.mean())) < 1e-12


@seeded
@given(st.integers(1, 300), st.data(), st.floats(0.5, 0.999))
def test_bounds_are_above_what_was_seen_and_rise_with_errors_and_level(
    trials: int, data: st.DataObject, level: float
) -> None:
    wrong = data.draw(st.integers(0, trials - 1))
    bound = upper_bound(wrong, trials, level)
    assert wrong / trials <= bound <= upper_bound(wrong + 1, trials, level)
    assert bound <= upper_bound(wrong, trials, (1 + level) / 2)
    ahead = prediction_bound(wrong, trials, trials, level)
    assert ahead <= prediction_bound(wrong + 1, trials, trials, level)
    assert ahead <= prediction_bound(wrong, trials, trials, (1 + level) / 2)


@seeded
@given(st.integers(0, 50), st.integers(1, 300), shares, shares)
def test_more_error_makes_few_errors_less_likely(wrong: int, trials: int, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert binomial_at_most(wrong, trials, high) <= binomial_at_most(wrong, trials, low) + 1e-12


@few
@given(policies, st.integers(0, 2**32 - 1), st.sampled_from(Reason))
def test_a_replay_accepts_nothing_without_a_signal(policy: Policy, seed: int, reason: Reason) -> None:
    rows = [blinded(record(f"t-{number}", random.Random(seed + number)), number, reason) for number in range(12)]
    outcomes = replay(policy, rows)
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome.end != "review":
            assert isinstance(getattr(row, outcome.end).signal, Scored)
    found = figures(outcomes)
    assert found["routed"] + found["in_review"] == found["tickets"] == 12
    assert found["cost_usd"] <= sum(row.cheap.cost_usd + row.big.cost_usd for row in rows) + 1e-12


def blinded(row: Record, number: int, reason: Reason) -> Record:
    blind = unscorable(reason, label="refund")
    cheap = row.cheap.model_copy(update={"signal": blind}) if number % 2 else row.cheap
    big = row.big.model_copy(update={"signal": blind}) if number % 3 else row.big
    return row.model_copy(update={"cheap": cheap, "big": big})

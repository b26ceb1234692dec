from __future__ import annotations

import datetime
from itertools import pairwise

import orjson
import pytest

from streams.core.calibration.calibration_report import calibrated, fitted_policy, frontier, knee_of, report, trade
from streams.core.calibration.figures import whatif
from streams.core.calibration.records import data_hash
from streams.core.calibration.selection import select
from streams.core.policy.fitted import FittedMemory
from streams.core.policy.policy import Policy
from streams.errors import SettingsError
from tests.support.answers import PROMISE, records, underconfident

ROWS = records(700, worth=underconfident)
CHOSEN = select(ROWS, PROMISE)
REPORT = report(CHOSEN, PROMISE)
DATE = datetime.date(2026, 8, 1)
POLICY = fitted_policy(CHOSEN, ROWS, PROMISE, DATE, REPORT["figures"])


def test_the_report_is_plain_values() -> None:
    assert orjson.loads(orjson.dumps(REPORT))["promise"] == PROMISE.model_dump()


def test_its_figures_are_those_of_the_tested_half_with_the_bound() -> None:
    expected = whatif(CHOSEN.policy, CHOSEN.tested) | {"accepted_error_bound": CHOSEN.chosen.bound}
    assert REPORT["figures"] == expected


@pytest.mark.parametrize("tier", ["cheap", "big"])
def test_each_tier_has_measures_before_and_after(tier: str) -> None:
    one = REPORT["tiers"][tier]
    assert one["map"]["kind"] in {"temperature", "isotonic"}
    assert one["cross_validated"]["log_loss"].keys() == {"temperature", "isotonic", "none"}
    for stage in ("before", "after"):
        assert one[stage]["answers"] == len(CHOSEN.tested)
        assert sum(each["answers"] for each in one[stage]["reliability"]) == len(CHOSEN.tested)
        assert one[stage]["risk_coverage"][-1]["coverage"] == 1.0
        assert one[stage]["risk_coverage"][-1]["error"] == pytest.approx(1 - one[stage]["accuracy"])
    assert one["after"]["log_loss"] < one["before"]["log_loss"]


def test_records_that_are_a_mixture_are_refused_before_a_policy_is_searched() -> None:
    memory = FittedMemory(embedding_model="minilm", examples=8, size=1000)
    with pytest.raises(SettingsError, match="and without a memory: separate them"):
        calibrated([*ROWS[:20], ROWS[20].model_copy(update={"memory": memory})], PROMISE, DATE)


def test_more_review_never_saves_less() -> None:
    rows = frontier(CHOSEN, PROMISE)
    assert [row["saving"] for row in rows] == sorted(row["saving"] for row in rows)
    assert max(row["review_rate"] for row in rows) <= PROMISE.max_review


def test_the_trade_is_the_frontier_with_the_chosen_policy_in_its_place() -> None:
    rows = trade(CHOSEN, PROMISE)
    here = whatif(CHOSEN.policy, CHOSEN.explored)
    assert [row["review_rate"] for row in rows] == sorted(row["review_rate"] for row in rows)
    assert [(row["review_rate"], row["saving"]) for row in rows if row["chosen"]] == [
        (here["review_rate"], here["saving"])
    ]
    others = [{"review_rate": row["review_rate"], "saving": row["saving"]} for row in rows if not row["chosen"]]
    assert [
        row for row in frontier(CHOSEN, PROMISE) if abs(row["review_rate"] - here["review_rate"]) >= 0.005
    ] == others
    for before, row in pairwise(rows):
        step = row["review_rate"] - before["review_rate"]
        assert before["saving"] + (row["saving_per_review"] or 0.0) * step == pytest.approx(row["saving"])
    assert rows[0]["saving_per_review"] is None


@pytest.mark.parametrize(
    ("points", "knee"),
    [
        ([(0.0, 0.2), (0.1, 0.8), (0.2, 0.85), (0.3, 0.9)], 1),
        ([(0.0, 0.2), (0.1, 0.41), (0.2, 0.6), (0.3, 0.8)], None),
        ([(0.0, 0.2), (0.1, 0.2), (0.2, 0.2)], None),
        ([(0.0, 0.2)], None),
    ],
)
def test_the_knee_is_the_step_after_which_review_saves_little(
    points: list[tuple[float, float]], knee: int | None
) -> None:
    assert knee_of(points) == knee


def test_the_policy_says_where_it_comes_from() -> None:
    fitted = POLICY.fitted
    assert fitted is not None
    assert (fitted.data_hash, fitted.records, fitted.date) == (data_hash(ROWS), 700, DATE)
    assert (fitted.cheap.model_returned, fitted.big.model_asked) == ("cheap-model-2026-08-01", "big-model")
    assert fitted.promise == PROMISE
    assert fitted.figures["accepted_error"] == pytest.approx(REPORT["figures"]["accepted_error"], abs=1e-6)
    assert "slices" not in fitted.figures
    assert Policy.model_validate(POLICY.model_dump(mode="json")) == POLICY


def test_the_id_is_of_the_content() -> None:
    assert POLICY.id.startswith("calibrated-")
    assert fitted_policy(CHOSEN, ROWS, PROMISE, DATE, REPORT["figures"]).id == POLICY.id
    assert fitted_policy(CHOSEN, ROWS[1:], PROMISE, DATE, REPORT["figures"]).id != POLICY.id


def test_origin_and_id_change_no_decision_on_the_models_it_was_fitted_for() -> None:
    assert whatif(POLICY, ROWS) == whatif(CHOSEN.policy, ROWS)

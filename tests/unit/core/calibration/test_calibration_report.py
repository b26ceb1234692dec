from __future__ import annotations

import datetime
import xml.etree.ElementTree as ET

import orjson
import pytest

from streams.core.calibration.calibration_report import fitted_policy, frontier, report
from streams.core.calibration.charts import pictures
from streams.core.calibration.figures import whatif
from streams.core.calibration.records import data_hash
from streams.core.calibration.selection import select
from streams.core.policy.policy import Policy
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


def test_more_review_never_saves_less() -> None:
    rows = frontier(CHOSEN, PROMISE)
    assert [row["saving"] for row in rows] == sorted(row["saving"] for row in rows)
    assert max(row["review_rate"] for row in rows) <= PROMISE.max_review


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


def test_the_pictures_are_svg_with_the_figures_in_them() -> None:
    drawn = pictures(REPORT)
    assert sorted(drawn) == ["reliability.svg", "risk_coverage.svg", "sweep.svg"]
    for text in drawn.values():
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert len(text) < 20_000
    ece = REPORT["tiers"]["cheap"]["after"]["ece"]
    assert f"after calibration, ECE {ece:.3f}" in drawn["reliability.svg"]

"""The demo's calibration: a policy fitted to records, or the default one with the reason."""

from __future__ import annotations

from streams.core.policy.policy import Policy
from streams.demo.calibration import PROMISE, fit
from tests.support.answers import records, underconfident


def test_records_give_a_policy_that_keeps_the_promise_and_says_where_it_comes_from() -> None:
    found = fit(records(600, worth=underconfident), seed=0)
    assert found.policy.fitted is not None
    assert found.policy.fitted.promise == PROMISE.model_copy(update={"out_of_scope_share": 0.0})
    figures = found.figures()
    assert (figures["records"], figures["explored"], figures["tested"]) == (600, 300, 300)
    assert figures["accepted_error"] <= figures["accepted_error_bound"] <= figures["max_error"] == PROMISE.max_error
    assert figures["cheap"]["min_confidence"] == found.policy.cheap.min_confidence


def test_the_seed_splits_the_records() -> None:
    rows = records(600, worth=underconfident)
    assert fit(rows, seed=1).policy.id == fit(rows, seed=1).policy.id != fit(rows, seed=2).policy.id


def test_without_enough_labels_the_policy_is_the_default_one_and_the_reason_is_given() -> None:
    found = fit(records(30), seed=0)
    assert found.policy == Policy()
    assert found.figures()["records"] == 30
    assert "at least" in found.figures()["reason"]

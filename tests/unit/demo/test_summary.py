"""The lines a demo prints: every figure of the report that they name, in 80 columns."""

from __future__ import annotations

from typing import Any

import pytest

from streams.demo.summary import calibrated, defects, summary, what_next

CALIBRATION = {
    "records": 628,
    "explored": 314,
    "tested": 314,
    "max_error": 0.1,
    "level": 0.9,
    "accepted_error": 0.062,
    "accepted_error_bound": 0.0934,
    "saving": 0.69,
    "review_rate": 0.19,
    "cheap": {"min_confidence": 0.74, "max_entropy": 1.29, "abstain_entropy": 1.31},
    "big": {"min_confidence": 0.5, "max_entropy": 1.54},
}
FIGURES: dict[str, Any] = {
    "tickets": 445,
    "labelled": 418,
    "routed": 361,
    "routed_labelled": 351,
    "in_review": 84,
    "dead_letters": 0,
    "lost": 0,
    "duplicates": 0,
    "unscored_accepts": 0,
    "accuracy": 0.926,
    "accuracy_all_cheap": 0.886,
    "accuracy_all_big": 0.931,
    "accepted_error": 0.081,
    "accuracy_kept": 0.9946,
    "accuracy_cheap_alone": 0.818,
    "accuracy_big_alone": 0.885,
    "cost_usd": 0.0297,
    "cost_all_cheap_usd": 0.0058,
    "cost_all_big_usd": 0.0959,
    "saving": 0.6901,
    "escalation_rate": 0.256,
    "review_rate": 0.189,
    "seconds": 4.2,
    "tickets_per_second": 107.2,
    "out_of_scope": {"tickets": 27, "in_review": 17, "routed": 10},
    "alerts": {"contract_changed": 2},
    "calibration": CALIBRATION,
}


def test_the_thresholds_and_the_bound_are_named() -> None:
    text = " ".join(calibrated(CALIBRATION))
    for words in ("628 tickets", "confidence 0.74", "from 1.31 nats", "6.2%", "under 9.3% at 90% confidence", "10.0%"):
        assert words in text


def test_a_policy_without_abstention_says_nothing_of_it() -> None:
    cheap = CALIBRATION["cheap"] | {"abstain_entropy": None}  # type: ignore[operator]
    assert not any("reviewer" in line for line in calibrated(CALIBRATION | {"cheap": cheap}))


def test_a_calibration_that_is_left_out_or_fails_says_so() -> None:
    assert "--calibration" in calibrated(None)[0]
    assert calibrated({"records": 9, "reason": "too few"})[0].endswith("too few")


def test_costs_and_accuracies_stand_beside_those_of_each_model_alone() -> None:
    rows = [line.split()[-3:] for line in summary(FIGURES)[1:5]]
    assert rows == [
        ["0.0297", "0.0058", "0.0959"],
        ["92.6%", "88.6%", "93.1%"],
        ["-", "81.8%", "88.5%"],
        ["18.9%", "0.0%", "0.0%"],
    ]


def test_what_was_saved_and_kept_is_named_with_the_bound() -> None:
    text = "\n".join(summary(FIGURES))
    assert "saving 69.0%" in text
    assert "accuracy kept 99.5%" in text
    assert "wrong among those accepted 8.1%; bound from the calibration 9.3%" in text
    assert "contract_changed 2" in text


@pytest.mark.parametrize("calibration", [None, {"records": 9, "reason": "too few"}])
def test_without_a_calibration_no_bound_is_named(calibration: dict[str, Any] | None) -> None:
    assert "bound" not in "\n".join(summary(FIGURES | {"calibration": calibration}))


def test_nothing_to_divide_by_is_a_dash() -> None:
    none = dict.fromkeys(
        ("accuracy", "accuracy_all_cheap", "accuracy_all_big", "accuracy_kept", "accepted_error", "saving")
    )
    text = summary(FIGURES | none)
    assert text[2].split()[-3:] == ["-", "-", "-"]
    assert what_next(FIGURES | {"tickets_per_second": None})[0].startswith("0 tickets/s")


def test_defects_are_named() -> None:
    assert defects(FIGURES | {"lost": 3}) == "lost 3, duplicates 0, unscored accepts 0"


def test_every_line_fits_80_columns() -> None:
    assert max(map(len, [*summary(FIGURES), *what_next(FIGURES), defects(FIGURES)])) <= 80
    assert max(map(len, calibrated(CALIBRATION))) <= 68, "the step's name is before it"

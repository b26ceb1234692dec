from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as reference_log_loss

from streams.core.calibration.measures import auroc, brier, ece, honest_ece, log_loss, reliability, risk_coverage

RNG = np.random.default_rng(1)
CONFIDENCE = RNG.uniform(0.05, 0.95, 400).round(2)
RIGHT = (RNG.uniform(size=400) < CONFIDENCE**1.5).astype(float)


def test_the_measures_equal_the_references() -> None:
    assert brier(CONFIDENCE, RIGHT) == pytest.approx(brier_score_loss(RIGHT, CONFIDENCE))
    assert log_loss(CONFIDENCE, RIGHT) == pytest.approx(reference_log_loss(RIGHT, CONFIDENCE))
    assert auroc(CONFIDENCE, RIGHT) == pytest.approx(roc_auc_score(RIGHT, CONFIDENCE))


@pytest.mark.parametrize("right", [[1.0, 1.0], [0.0, 0.0], []])
def test_auroc_needs_a_right_and_a_wrong_answer(right: list[float]) -> None:
    assert auroc(np.linspace(0, 1, len(right)), np.array(right)) is None


def test_log_loss_of_a_certain_slip_is_large_but_finite() -> None:
    assert 20 < log_loss(np.array([1.0]), np.array([0.0])) < 40


def test_bins_hold_every_answer_once_and_equal_shares() -> None:
    bins = reliability(np.linspace(0.1, 0.9, 150), np.ones(150), bins=15)
    assert [one.answers for one in bins] == [10] * 15
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)


def test_answers_of_one_confidence_share_a_bin() -> None:
    bins = reliability(np.array([0.5] * 40 + [0.9] * 60), np.array([1.0] * 100), bins=15)
    assert [(one.answers, one.confidence) for one in bins] == [(40, pytest.approx(0.5)), (60, pytest.approx(0.9))]


def test_ece_is_the_weighted_gap() -> None:
    confidence = np.array([0.6] * 50 + [0.9] * 50)
    right = np.array([1.0] * 40 + [0.0] * 10 + [1.0] * 40 + [0.0] * 10)
    assert ece(confidence, right) == pytest.approx(0.5 * 0.2 + 0.5 * 0.1)
    assert ece(np.array([]), np.array([])) == 0.0


def test_ece_of_an_honest_model_is_only_noise() -> None:
    honest = np.random.default_rng(2).uniform(0.5, 1.0, 20_000)
    right = (np.random.default_rng(3).uniform(size=20_000) < honest).astype(float)
    assert ece(honest, right) < 0.01
    assert ece(honest - 0.1, right) == pytest.approx(0.1, abs=0.01)


def test_risk_coverage_takes_the_surest_first_and_ties_together() -> None:
    coverage, risk = risk_coverage(np.array([0.9, 0.8, 0.8, 0.3]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0.0, 1 / 3, 0.5])
    assert risk_coverage(np.array([]), np.array([]))[0].tolist() == []


def test_an_honest_model_shows_less_error_the_more_it_answers() -> None:
    confidence = np.random.default_rng(4).uniform(0.5, 1.0, 4_000)
    few, many = honest_ece(confidence[:200]), honest_ece(confidence)
    assert 0.04 < few < 0.12
    assert 0.005 < many < 0.02
    assert honest_ece(np.array([])) == 0.0

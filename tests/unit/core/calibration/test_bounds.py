from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, hypergeom

from streams.core.calibration.bounds import prediction_bound, upper_bound
from streams.core.statistics import binomial_at_most

CASES = [(0, 10), (3, 40), (60, 1400), (700, 1400), (1399, 1400), (0, 1)]


@pytest.mark.parametrize(("wrong", "trials"), CASES)
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_bound_equals_the_reference(wrong: int, trials: int, level: float) -> None:
    assert upper_bound(wrong, trials, level) == pytest.approx(beta.ppf(level, wrong + 1, trials - wrong), abs=1e-8)


def test_nothing_seen_bounds_nothing() -> None:
    assert upper_bound(0, 0, 0.95) == 1.0


def test_all_wrong_bounds_nothing() -> None:
    assert upper_bound(7, 7, 0.95) == 1.0


def test_a_bound_under_the_limit_and_a_rejected_test_are_the_same() -> None:
    for wrong in range(40):
        assert (upper_bound(wrong, 600, 0.95) <= 0.05) == (binomial_at_most(wrong, 600, 0.05) <= 0.05)


@pytest.mark.parametrize(("wrong", "trials", "coming"), [(0, 60, 60), (21, 700, 700), (5, 50, 200), (30, 400, 13)])
def test_the_prediction_is_the_most_errors_that_are_not_too_unlikely(wrong: int, trials: int, coming: int) -> None:
    most = round(prediction_bound(wrong, trials, coming, 0.95) * coming)
    assert hypergeom.cdf(wrong, trials + coming, wrong + most, trials) > 0.05
    if most < coming:
        assert hypergeom.cdf(wrong, trials + coming, wrong + most + 1, trials) <= 0.05


def test_what_comes_is_bounded_less_tightly_than_the_rate_and_the_more_comes_the_closer() -> None:
    bounds = [prediction_bound(20, 600, coming, 0.95) for coming in (100, 600, 20_000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(upper_bound(20, 600, 0.95), abs=0.001)
    assert prediction_bound(20, 600, 600, 0.95) > upper_bound(20, 600, 0.95)


@pytest.mark.parametrize(("trials", "coming"), [(0, 10), (10, 0)])
def test_no_trial_predicts_nothing(trials: int, coming: int) -> None:
    assert prediction_bound(0, trials, coming, 0.95) == 1.0


def test_predictions_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    seen, coming = rng.binomial(300, 0.04, 2_000), rng.binomial(300, 0.04, 2_000)
    limits = {wrong: prediction_bound(wrong, 300, 300, 0.9) for wrong in set(seen.tolist())}
    broken = np.mean([later / 300 > limits[now] for now, later in zip(seen.tolist(), coming.tolist(), strict=True)])
    assert broken <= 0.1

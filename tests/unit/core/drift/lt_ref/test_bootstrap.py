"""Baseline, thresholds and the two statistics that they are for, each on its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from streams.core.drift.lt_ref.baseline import fit_baseline
from streams.core.drift.lt_ref.bootstrap import JOINTS, _fits, bootstrap_thresholds
from streams.core.drift.lt_ref.jump import carried_over, jump, jump_variance, jumps
from streams.core.drift.lt_ref.mewma import RATE, largest_average, mewma_variance, next_average
from streams.core.drift.lt_ref.serial_correlation import serial_correlation
from streams.core.drift.lt_ref.whitening import RESOLUTION, SHRINKAGE, ordinary_variance, resolution, whitening
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix

ONE_MODE = np.ones((150, 1))


def correlated(rho: float, n: int, d: int, seed: int) -> Matrix:
    noise = np.random.default_rng(seed).normal(size=(n, d))
    for index in range(1, n):
        noise[index] = rho * noise[index - 1] + (1 - rho**2) ** 0.5 * noise[index]
    return noise


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_serial_correlation_is_found_in_a_short_series(rho: float) -> None:
    found = [serial_correlation(correlated(rho, 100, 20, seed) - 0.0) for seed in range(20)]
    assert np.mean(found) == pytest.approx(rho, abs=0.06)
    assert serial_correlation(np.zeros((50, 3))) == 0.0


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_variances_of_both_statistics_are_those_of_long_series(rho: float) -> None:
    series = correlated(rho, 20_000, 20, seed=1)
    assert jumps(series, rho).var() == pytest.approx(jump_variance(rho), rel=0.05)
    average, averages = np.zeros(20), []
    for row in series:
        average = average + RATE * (row - average)
        averages.append(average)
    assert np.var(averages) == pytest.approx(mewma_variance(rho), rel=0.05)


def test_a_jump_needs_the_support_of_each_of_its_rows() -> None:
    still, moved = np.zeros(4), np.array([3.0, 0.0, 4.0, 0.0])
    assert jump([still, moved, moved, moved], 0.8) == pytest.approx(moved)
    for rows in ([moved, still, moved], [still, still, 100 * moved], [moved, moved, -moved]):
        assert not jump([still, *rows], 0.8).any()
    assert not jump([100 * moved, still, still, still], 0.8).any()
    assert jump([moved, moved, moved, moved], 0.8) == pytest.approx((1 - carried_over(0.8)) * moved)


def test_jumps_in_a_series_are_the_jumps_row_by_row() -> None:
    rows = correlated(0.5, 12, 3, seed=2) + np.linspace(0, 20, 12)[:, None]
    series = jumps(rows, 0.5)
    assert len(series) == 9
    for index in range(9):
        found = jump(list(rows[index : index + 4]), 0.5)
        assert found == pytest.approx(series[index]) or not found.any()


def test_no_two_rows_pass_the_threshold_of_the_average_and_three_do() -> None:
    wild = 1e6 * np.array([0.6, 0.8])
    average = np.zeros(2)
    norms = []
    for _ in range(3):
        average = next_average(average, wild, threshold=2.0)
        norms.append(np.linalg.norm(average))
    assert norms[1] < 2.0 < norms[2]


def test_the_largest_average_of_a_stretch_is_the_one_met_row_by_row() -> None:
    stretch = correlated(0.3, 40, 5, seed=3)
    average, norms = np.zeros(5), []
    for row in stretch:
        average = next_average(average, row, threshold=1e9)
        norms.append(float(np.linalg.norm(average)))
    assert largest_average(stretch[None])[0] == pytest.approx(max(norms))


def test_whitening_undoes_the_shrunk_covariance_and_survives_a_constant_reference() -> None:
    rows = correlated(0.0, 500, 4, seed=4) @ np.diag([1.0, 1.2, 1.4, 1.6])
    covariance = np.cov(rows.T)
    root = whitening(covariance, RESOLUTION)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 4 * np.eye(4)
    assert root @ shrunk @ root == pytest.approx(np.eye(4), abs=1e-6)
    assert root == pytest.approx(root.T)
    assert whitening(np.zeros((3, 3)), RESOLUTION) == pytest.approx(np.eye(3) / RESOLUTION)


@pytest.mark.parametrize("size", [1.0, 10.0, 40.0])
def test_one_direction_of_large_noise_does_not_drown_the_others(size: float) -> None:
    rows = correlated(0.0, 500, 20, seed=4)
    direction = np.ones(20) / 20**0.5
    rows += size * correlated(0.0, 500, 1, seed=5) * direction
    still = np.zeros(20)
    still[:2] = [1.0, -1.0]
    length = np.linalg.norm(still @ whitening(np.cov(rows.T), RESOLUTION)) / np.linalg.norm(still)
    assert length == pytest.approx(1.0, abs=0.15)


def test_where_all_but_one_direction_is_constant_the_last_digit_is_no_news() -> None:
    assert ordinary_variance(np.array([*np.zeros(20), 21.0])) == pytest.approx(0.01)
    assert ordinary_variance(np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 100.0]])) == pytest.approx([1.0, 2.0])


def test_the_fits_of_resamples_are_those_of_their_rows() -> None:
    reference = correlated(0.5, 120, 6, seed=7) * 3.0 - 5.0
    drawn = np.random.default_rng(1).integers(0, 120, size=(4, 120))
    means, roots = _fits(reference - reference.mean(axis=0), np.ones((120, 1)), drawn, RESOLUTION)
    means += reference.mean(axis=0)
    for mean, root, indices in zip(means, roots, drawn, strict=True):
        rows = reference[indices]
        assert mean[0] == pytest.approx(rows.mean(axis=0))
        symmetric = whitening(np.cov(rows.T, bias=True), RESOLUTION)
        lengths = np.linalg.norm((reference - mean) @ root, axis=1)
        assert lengths == pytest.approx(np.linalg.norm((reference - mean) @ symmetric, axis=1))


def test_thresholds_rise_with_serial_correlation_and_repeat_themselves() -> None:
    found = {
        rho: bootstrap_thresholds(correlated(rho, 150, 10, 5), ONE_MODE, rho, 1e-4, RESOLUTION)
        for rho in (0.0, 0.5, 0.8)
    }
    assert found[0.0].average < found[0.5].average < found[0.8].average
    assert found[0.5] == bootstrap_thresholds(correlated(0.5, 150, 10, 5), ONE_MODE, 0.5, 1e-4, RESOLUTION)
    strict = bootstrap_thresholds(correlated(0.5, 150, 10, 5), ONE_MODE, 0.5, 1e-5, RESOLUTION)
    assert strict.average >= found[0.5].average


def test_a_constant_reference_gets_the_thresholds_of_gaussian_noise() -> None:
    found = bootstrap_thresholds(np.zeros((100, 10)), ONE_MODE[:100], 0.0, 1e-4, RESOLUTION)
    # The mean of a reference of 100 rows is itself uncertain, by a hundredth of a row's variance.
    average = mewma_variance(0.0) + 1 / 100
    assert found.average == pytest.approx(JOINTS * (average * chi2.isf(1e-4, 10)) ** 0.5, rel=0.01)
    assert found.jump == pytest.approx(JOINTS * (chi2.isf(1e-4, 10) / 3) ** 0.5, rel=0.01)


def test_a_baseline_holds_the_tokens_of_half_the_rows_and_notices_others() -> None:
    common = ProbeRow(("a", "b", "c"), (-1.0, -2.0, -3.0))
    rare = ProbeRow(("a", "b", "x"), (-1.0, -2.0, -3.0))
    baseline, features = fit_baseline([common, common, rare, common], 3)
    assert baseline.features.tokens == ("a", "b", "c")
    assert features.shape == (4, 4)
    news = ProbeRow(("a", "new", "b"), (-1.0, -1.5, -3.0))
    assert abs(baseline.whitened([news])[0] @ [0, 0, 0, 1]) > abs(baseline.whitened([common])[0] @ [0, 0, 0, 1])


def test_a_row_that_the_reference_holds_is_no_deviation_and_any_other_is() -> None:
    rows = [ProbeRow(("a", "b"), (-1.0 - 0.02 * (n % 25 == 0), -2.0)) for n in range(100)]
    baseline, _ = fit_baseline(rows, 2)
    assert not baseline.deviations(rows).any()
    assert baseline.whitened(rows).any()
    assert np.linalg.norm(baseline.deviations([ProbeRow(("a", "b"), (-1.01, -2.0))])) > 0


@pytest.mark.parametrize("step", [0.1, 0.01, 0.0005])
def test_rounded_values_deviate_by_a_step_at_least_and_others_by_the_resolution(step: float) -> None:
    values = correlated(0.0, 100, 5, seed=8) - 3.0
    assert resolution(np.round(values / step) * step) == step
    assert resolution(values) == resolution(np.round(values, 6)) == RESOLUTION
    constant = ProbeRow(("a", "b"), (-1.01, -2.02))
    baseline, _ = fit_baseline([constant] * 100, 2)
    assert baseline.least == 0.01
    assert np.linalg.norm(baseline.deviation(ProbeRow(("a", "b"), (-1.01, -2.03)))) == pytest.approx(1.0, rel=0.01)

"""The threshold of a provisional reference, and what is a step and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.drift.lt_ref.compared import step_variance
from streams.core.drift.lt_ref.provisional_reference import larger_noise, step, step_threshold

RATE = 1e-4
QUIET = np.random.default_rng(1).normal(size=(24, 20))


def stepped(rows: int) -> np.ndarray:
    after = np.random.default_rng(2).normal(size=(rows, 20))
    after[:, 0] += 10.0
    return after


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_variance_of_a_step_is_that_of_simulated_noise(rho: float) -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(20_000, 15))
    for column in range(1, 15):
        noise[:, column] = rho * noise[:, column - 1] + (1.0 - rho**2) ** 0.5 * noise[:, column]
    steps = noise[:, 12:].mean(axis=1) - noise[:, :12].mean(axis=1)
    assert steps.var() == pytest.approx(step_variance(12, 3, rho), rel=0.05)


def test_the_threshold_is_wider_while_few_rows_are_known() -> None:
    thresholds = [step_threshold(before, 3, 0.5, 20, RATE) for before in range(6, 25)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > 1.4 * thresholds[-1]


def test_a_quiet_series_passes_its_threshold_less_often_than_is_aimed_at() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(20_000, 9, 20))
    steps = np.linalg.norm(rows[:, 6:].mean(axis=1) - rows[:, :6].mean(axis=1), axis=1)
    assert steps.max() < step_threshold(6, 3, 0.0, 20, RATE)


@pytest.mark.parametrize("rows", [3, 5, 8])
def test_rows_that_all_moved_at_once_are_a_step(rows: int) -> None:
    assert np.linalg.norm(step(QUIET, stepped(rows))) == pytest.approx(10.0, abs=3.0)


def test_an_outlier_among_the_rows_is_no_step() -> None:
    after = stepped(3)
    after[1] = QUIET[0] + 0.5
    assert not step(QUIET, after).any()


@pytest.mark.parametrize("place", [-1, -2, -3, -6])
def test_the_way_back_from_an_outlier_is_no_step(place: int) -> None:
    before = QUIET.copy()
    before[place, 0] += 1000.0
    after = np.random.default_rng(2).normal(size=(3, 20))
    assert not step(before, after).any()
    assert step(before, after + 300.0).any()


def test_a_row_that_was_there_before_to_the_last_digit_is_no_news() -> None:
    before = QUIET.copy()
    after = stepped(3)
    before[4] = after[1]
    assert not step(before, after).any()


@pytest.mark.parametrize("rows", [3, 5, 8])
@pytest.mark.parametrize("before", [6, 12, 24])
def test_a_slow_movement_is_no_step(rows: int, before: int) -> None:
    way = np.arange(before + rows, dtype=float)[:, None] * np.ones(20)
    settling = (1.0 - np.exp(-np.arange(before + rows, dtype=float) / 5.0))[:, None] * 30.0 * np.ones(20)
    for moving in (way, settling):
        assert not step(moving[:before], moving[before:]).any()


def test_larger_noise_raises_the_threshold_and_neither_a_step_nor_less_noise_does() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(20, 20))
    assert larger_noise(5.0 * rows, 0.0) == pytest.approx(5.0, rel=0.15)
    assert larger_noise(0.1 * rows, 0.0) == 1.0
    moved = rows.copy()
    moved[10:] += 50.0
    assert larger_noise(moved, 0.0) == pytest.approx(larger_noise(rows, 0.0), rel=0.1)

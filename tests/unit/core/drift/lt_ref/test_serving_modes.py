"""Serving modes: found where rows stand apart, and nowhere else; each row is compared with the nearest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streams.core.drift import Alarm
from streams.core.drift.lt_ref.baseline import fit_baseline
from streams.core.drift.lt_ref.bootstrap import _fits
from streams.core.drift.lt_ref.lt_ref_detector import LtRefDetector
from streams.core.drift.lt_ref.serving_modes import FEWEST, MOST, mode_means, serving_modes
from streams.core.drift.lt_ref.whitening import RESOLUTION, whitening
from streams.sandbox.simulated_probes import Endpoint, usable_rows

STICKY = Endpoint(mode_rms=0.3, mode_share=0.3, mode_stay=0.9)


def apart(counts: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of several modes in random order, and which mode each is of."""
    chance = np.random.default_rng(seed)
    which = chance.permutation(np.repeat(np.arange(len(counts)), counts))
    return chance.normal(0, 0.02, (len(which), 6)) + chance.normal(0, 1, (len(counts), 6))[which], which


@pytest.mark.parametrize("counts", [[70, 30], [140, 60], [60, 40, 30]])
def test_rows_that_stand_apart_are_modes(counts: list[int]) -> None:
    rows, which = apart(counts)
    modes = serving_modes(rows, RESOLUTION)
    assert modes.sum(axis=1).tolist() == [1.0] * len(rows)
    found = modes.argmax(axis=1)
    assert len(set(zip(found.tolist(), which.tolist(), strict=True))) == modes.shape[1] == len(counts)
    assert mode_means(rows, modes)[found[0]] == pytest.approx(rows[which == which[0]].mean(axis=0))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_correlated_noise_is_one_mode(rho: float) -> None:
    for seed in range(6):
        baseline, _ = fit_baseline(usable_rows(Endpoint(rho=rho), 100, seed), 20)
        assert len(baseline.means) == 1


def test_a_mode_of_few_rows_is_none_and_there_are_not_many() -> None:
    assert serving_modes(apart([90, FEWEST - 1])[0], RESOLUTION).shape[1] == 1
    assert serving_modes(apart([90, FEWEST])[0], RESOLUTION).shape[1] == 2
    assert serving_modes(apart([30] * 6)[0], RESOLUTION).shape[1] <= MOST


def test_rows_that_repeat_themselves_are_one_mode() -> None:
    rows = np.repeat([[0.0, -1.0], [-0.3, -0.7]], 50, axis=0)
    assert serving_modes(rows, RESOLUTION).shape[1] == 1


def test_a_row_is_compared_with_the_nearest_mode() -> None:
    rows = usable_rows(STICKY, 200, seed=1)
    baseline, features = fit_baseline(rows, 20)
    assert len(baseline.means) == 2
    assert baseline.whitened(rows).mean(axis=0) == pytest.approx(np.zeros(features.shape[1]), abs=1e-6)
    for mean in baseline.means:
        assert baseline._whiten(mean + 1e-3) == pytest.approx(np.full(len(mean), 1e-3) @ baseline.whitening)


def test_every_resample_has_the_means_of_its_own_modes() -> None:
    rows, _ = apart([80, 40])
    modes = serving_modes(rows, RESOLUTION)
    centred = rows - modes @ mode_means(rows, modes)
    drawn = np.random.default_rng(1).integers(0, 120, size=(3, 120))
    drawn[2] = np.flatnonzero(modes[:, 0])[0]  # a resample without the second mode
    means, roots = _fits(centred, modes, drawn, RESOLUTION)
    for mean, root, indices in zip(means[:2], roots, drawn, strict=False):
        resample, of = centred[indices], modes[indices]
        assert mean == pytest.approx(mode_means(resample, of))
        left = resample - of @ mean
        expected = np.linalg.norm(left @ whitening(left.T @ left / 120, RESOLUTION), axis=1)
        assert np.linalg.norm(left @ root, axis=1) == pytest.approx(expected)
    assert means[2, 1].tolist() == [0.0] * 6


def test_a_change_is_seen_through_modes_that_last() -> None:
    endpoint = replace(STICKY, mode_share=0.1, change_at=300, change_rms=0.02)
    seen = 0
    for seed in range(800_000, 800_008):
        detector = LtRefDetector()
        rows = usable_rows(endpoint, 324, seed)
        seen += any([isinstance(detector.update(row), Alarm) for row in rows][300:])
    assert seen >= 7

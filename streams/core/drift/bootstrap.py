"""Thresholds of an endpoint's own, by a moving-block bootstrap of its reference rows.

One threshold for all endpoints fails: serial correlation alone moves the right one by a factor of two. Here the
reference is resampled in blocks of consecutive rows, which keep the correlation and the serving modes; mean and
covariance are estimated anew from every resample, which adds what their own error costs; and the threshold is what the
statistic rarely passes on a stretch of other resampled rows.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.core.drift.whitening import whitening
from streams.core.drift.window import Matrix

BLOCKS: Final = (24, 1)
"""Rows per block. Blocks of 24 keep serial correlation; single rows try the orders that the reference happened not to
show (two rare rows in succession). The larger threshold counts."""

RESAMPLES: Final = 400
STRETCH: Final = 200
"""Rows of resampled traffic per resample; their maximum is what the threshold is a quantile of."""

JOINTS: Final = 1.05
"""Thresholds are raised by this factor for the correlation that every joint between blocks cuts."""


def ewma_thresholds(reference: Matrix, rates: tuple[float, ...], false_alarm_rate: float, seed: int) -> list[float]:
    """For each EWMA rate the norm that whitened rows pass about ``false_alarm_rate`` times a row, all rates together.

    ``reference`` is (rows, d), with at least 24 rows. Never below the threshold of independent Gaussian noise, which a
    constant reference, or one with a single rare mode, would undercut.
    """
    rng = np.random.default_rng(seed)
    thresholds = np.array([_gaussian_threshold(reference.shape[1], rate, false_alarm_rate) for rate in rates])
    quantile = 1.0 - false_alarm_rate * STRETCH
    for block in BLOCKS:
        maxima = _resampled_maxima(reference, rates, block, rng)
        alone = np.maximum(np.quantile(maxima, quantile, axis=1), np.finfo(np.float64).tiny)
        together = np.quantile((maxima / alone[:, None]).max(axis=0), quantile)
        thresholds = np.maximum(thresholds, JOINTS * together * alone)
    return [float(threshold) for threshold in thresholds]


def _resampled_maxima(reference: Matrix, rates: tuple[float, ...], block: int, rng: np.random.Generator) -> Matrix:
    """The largest EWMA norm of each resampled stretch, as (rates, resamples)."""
    resampled = reference[_block_indices(len(reference), len(reference), block, rng)]
    mean = resampled.mean(axis=1, keepdims=True)
    resampled -= mean
    covariance = resampled.transpose(0, 2, 1) @ resampled / len(reference)
    stretch = reference[_block_indices(len(reference), STRETCH, block, rng)]
    deviations = (stretch - mean) @ whitening(covariance)
    return np.stack([_largest_norm(deviations, rate) for rate in rates])


def _largest_norm(deviations: Matrix, rate: float) -> Matrix:
    average = np.zeros((deviations.shape[0], deviations.shape[2]))
    largest = np.zeros(deviations.shape[0])
    for row in np.moveaxis(deviations, 1, 0):
        average += rate * (row - average)
        np.maximum(largest, np.einsum("bd,bd->b", average, average), out=largest)
    return np.sqrt(largest)


def _block_indices(rows: int, length: int, block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row indices (resamples, length): runs of ``block`` consecutive rows from random starts."""
    starts = rng.integers(0, rows - block + 1, size=(RESAMPLES, -(-length // block)))
    return (starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :length]


def _gaussian_threshold(d: int, rate: float, false_alarm_rate: float) -> float:
    """The norm of an EWMA of independent standard normal rows, by the chi-square quantile of Wilson and Hilferty."""
    z = NormalDist().inv_cdf(1.0 - false_alarm_rate)
    spread = 2.0 / (9.0 * d)
    chi_square = d * (1.0 - spread + z * spread**0.5) ** 3
    return float((rate / (2.0 - rate) * chi_square) ** 0.5)

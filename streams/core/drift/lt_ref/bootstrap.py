"""Thresholds for one endpoint, by a moving-block bootstrap of its reference rows.

One threshold for all endpoints fails: serial correlation alone moves the right one by a factor of two. Here the
reference is resampled in blocks of consecutive rows, which keep the correlation and the serving modes. Mean and
covariance are estimated again from every resample, which adds what their own error costs. The thresholds are what the
statistics rarely pass on a stretch of other resampled rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.core.drift.lt_ref.jump import jump_variance, jumps
from streams.core.drift.lt_ref.mewma import largest_average, mewma_variance
from streams.core.drift.lt_ref.serving_modes import mode_means
from streams.core.drift.lt_ref.whitening import principal_directions, shrunk
from streams.core.drift.window import Floats, Matrix
from streams.core.statistics import chi_square_quantile

BLOCKS: Final = (24, 1)
"""Rows per block. Blocks of 24 keep serial correlation; single rows try the orders that the reference happened not to
show (two rare rows in succession). The larger threshold counts."""

RESAMPLES: Final = 400
CHUNK: Final = 100
"""Resamples at a time: fewer cost more calls, more leave the processor's cache."""

STRETCH: Final = 200
"""Rows of resampled traffic per resample; their maximum is what a threshold is a quantile of."""

JOINTS: Final = 1.05
"""Thresholds are raised by this factor for the correlation that every joint between blocks cuts."""

OUTLIER: Final = 3.0
"""Deviations are cut to this many times the length of an ordinary one. If a resample misses a rare serving mode
altogether, a row of that mode is a hundred deviations away, and would set a threshold that nothing ever passes."""

SEED: Final = 0
"""The same resamples every time: the same rows give the same thresholds on every worker."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The norms that the moving average and the jump of whitened rows must pass."""

    average: float
    jump: float


class EndpointThresholds:
    """The thresholds of one endpoint: their lower bounds at once, themselves when they are first needed.

    What a quiet endpoint shows seldom passes the bounds, so that most references never pay for their bootstrap.
    ``reference`` is (rows, d), with more than 24 rows, ``modes`` says which serving mode each is of, ``rho`` is its serial
    correlation, ``least`` the least deviation that a token is taken to have.
    """

    def __init__(self, reference: Matrix, modes: Matrix, rho: float, false_alarm_rate: float, least: float) -> None:
        self.floor = gaussian_thresholds(reference, rho, false_alarm_rate)
        self._reference = reference
        self._modes = modes
        self._rho = rho
        self._false_alarm_rate = false_alarm_rate
        self._least = least

    @cached_property
    def exact(self) -> Thresholds:
        """The thresholds of the bootstrap."""
        return bootstrap_thresholds(self._reference, self._modes, self._rho, self._false_alarm_rate, self._least)


def gaussian_thresholds(reference: Matrix, rho: float, false_alarm_rate: float) -> Thresholds:
    """The thresholds of Gaussian noise with this serial correlation, below which those of the bootstrap never are.

    A constant reference, or one with a single rare mode, would undercut them.
    """
    variances = np.array([mewma_variance(rho) + (1 + rho) / (1 - rho) / len(reference), jump_variance(rho)])
    thresholds = JOINTS * np.sqrt(variances * chi_square_quantile(false_alarm_rate, reference.shape[1]))
    return Thresholds(float(thresholds[0]), float(thresholds[1]))


def bootstrap_thresholds(
    reference: Matrix, modes: Matrix, rho: float, false_alarm_rate: float, least: float
) -> Thresholds:
    """The thresholds that quiet rows pass about ``false_alarm_rate`` times a row, both statistics together.

    The arguments are as in ``EndpointThresholds``.
    """
    rng = np.random.default_rng(SEED)
    floor = gaussian_thresholds(reference, rho, false_alarm_rate)
    thresholds = np.array([floor.average, floor.jump])
    quantile = 1.0 - false_alarm_rate * STRETCH
    for block in BLOCKS:
        maxima = _resampled_maxima(reference, modes, rho, least, block, rng)
        alone = np.maximum(np.quantile(maxima, quantile, axis=1), np.finfo(np.float64).tiny)
        together = np.quantile((maxima / alone[:, None]).max(axis=0), quantile)
        thresholds = np.maximum(thresholds, JOINTS * together * alone)
    return Thresholds(float(thresholds[0]), float(thresholds[1]))


def _resampled_maxima(
    reference: Matrix, modes: Matrix, rho: float, least: float, block: int, rng: np.random.Generator
) -> Matrix:
    """The largest average and the largest jump of each resampled stretch, as (2, resamples).

    In single precision, measured from the mean of each row's mode: the quantile of so few resamples is no more exact than that.
    """
    rows = len(reference)
    drawn = _block_indices(rows, rows, block, rng)
    traffic = _block_indices(rows, STRETCH, block, rng)
    # Jumps are taken between rows that really followed each other, then resampled: a joint is no jump.
    centred = reference - modes @ mode_means(reference, modes)
    centred = centred @ principal_directions(centred)
    # What a mean is wrong by, the rows of its mode are wrong by, and a jump by the jump between its rows' modes.
    real, kept = jumps(centred, rho).astype(np.float32), jumps(modes, rho).astype(np.float32)
    jumped = None if block == 1 else _block_indices(len(real), STRETCH, block, rng)
    single, of_mode = centred.astype(np.float32), modes.astype(np.float32)
    maxima = np.empty((2, RESAMPLES))
    for chunk in (slice(start, start + CHUNK) for start in range(0, RESAMPLES, CHUNK)):
        means, root = (fitted.astype(np.float32) for fitted in _fits(centred, modes, drawn[chunk], least))
        stretch = single[traffic[chunk]]
        stretch -= of_mode[traffic[chunk]] @ means
        stretch = _without_outliers(stretch @ root)
        moved = jumps(stretch, 0.0) if jumped is None else (real[jumped[chunk]] - kept[jumped[chunk]] @ means) @ root
        maxima[0, chunk] = largest_average(stretch)
        maxima[1, chunk] = np.sqrt(_squares(moved).max(axis=1))
    return maxima


def _fits(rows: Matrix, modes: Matrix, drawn: NDArray[np.int64], least: float) -> tuple[Matrix, Matrix]:
    """Means (resamples, modes, d) and a whitening root (resamples, d, d) of each resample of rows (n, d).

    In all rows the mean of each mode is zero, and so it is in a resample without that mode. Any root will do, as only norms
    are compared: this one is the quickest to find.
    """
    n, d = rows.shape
    counts = np.stack([np.bincount(each, minlength=n) for each in drawn]) / n
    shares = counts @ modes
    sums = (counts[:, None, :] * modes.T) @ rows
    means = sums / np.maximum(shares, 1.0 / n)[..., None]
    squares = (counts @ (rows[:, :, None] * rows[:, None, :]).reshape(n, d * d)).reshape(-1, d, d)
    covariance = squares - np.swapaxes(sums, -1, -2) @ means
    factors = np.linalg.cholesky(shrunk(covariance, least))
    return means, np.swapaxes(np.linalg.inv(factors), -1, -2)


def _without_outliers(deviations: Floats) -> Floats:
    longest = np.float32(OUTLIER * deviations.shape[-1] ** 0.5)
    deviations *= (longest / np.maximum(np.sqrt(_squares(deviations)), longest))[..., None]
    return deviations


def _squares(vectors: Floats) -> Floats:
    squares: Floats = np.einsum("...d,...d->...", vectors, vectors)
    return squares


def _block_indices(rows: int, length: int, block: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row indices (resamples, length): runs of ``block`` consecutive rows from random starts."""
    starts = rng.integers(0, rows - block + 1, size=(RESAMPLES, -(-length // block)))
    return (starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :length]

"""The jump between the last three rows and the row before them, less what serial correlation carries over.

If noise is correlated, averages move slowly by themselves and a change hides in them. But two neighbouring rows are
close, and a sudden change stands out between them. With AR(1) noise of unit variance and rho 0.8, three rows against
their prediction have a variance of 0.41, their mean alone 0.83.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from streams.core.drift.window import Floats, Matrix

WINDOW: Final = 3
"""Rows that must agree. A serving mode that a reference of 100 rows never showed has most likely less than 3 % of the
rows. Such a mode makes a run of three less often than once in ten thousand rows, and one of two more often."""

SUPPORT: Final = 0.3
"""Share of the jump that each of the rows must show by itself: one or two outliers are no change."""


def carried_over(rho: float) -> float:
    """What of a row's deviation the mean of the ``WINDOW`` rows after it is expected to keep."""
    return sum(rho**lag for lag in range(1, WINDOW + 1)) / WINDOW


def jump_variance(rho: float) -> float:
    """Variance of a jump, where each row has unit variance and AR(1) correlation ``rho``."""
    pairs = sum(rho ** abs(first - second) for first in range(WINDOW) for second in range(WINDOW))
    return pairs / WINDOW**2 - carried_over(rho) ** 2


def jump(latest: Iterable[Matrix], rho: float) -> Matrix:
    """The jump of the last ``WINDOW`` of ``WINDOW + 1`` whitened rows; zero if not each of them supports it.

    What counts is where a row stands, not that it left: the return from an outlier is no jump.
    """
    before, *window = latest
    moved = unsupported_jump(before, window, rho)
    supported = min(float(row @ moved) for row in window) >= SUPPORT * float(moved @ moved)
    return moved if supported else np.zeros_like(moved)


def unsupported_jump(before: Matrix, window: Sequence[Matrix], rho: float) -> Matrix:
    """The jump, whether or not each row of the window supports it."""
    moved: Matrix = sum(window) / WINDOW - carried_over(rho) * before
    return moved


def jumps(rows: Floats, rho: float) -> Floats:
    """Every jump in consecutive rows (..., rows, d), as (..., rows - WINDOW, d), supported or not."""
    count = rows.shape[-2] - WINDOW
    moved = rows[..., 1 : 1 + count, :].copy()
    for lag in range(2, WINDOW + 1):
        moved += rows[..., lag : lag + count, :]
    moved /= WINDOW
    moved -= rows.dtype.type(carried_over(rho)) * rows[..., :count, :]
    return moved

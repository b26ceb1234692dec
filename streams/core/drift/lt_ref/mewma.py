"""The multivariate exponentially weighted moving average (MEWMA) of whitened rows.

Source: Lowry, Woodall, Champ and Rigdon (1992), with the rows cut so that outliers cannot alarm.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

from streams.core.drift.lt_ref.jump import WINDOW
from streams.core.drift.window import Floats, Matrix, length

RATE: Final = 0.1
"""Share of the newest row: a memory of some ten rows, for movements too small to see in three."""

SAME_WAY: Final = 1.1
"""Rows of a real change agree in direction only nearly; a tenth more length lets ``WINDOW`` of them still suffice."""


def mewma_variance(rho: float) -> float:
    """Variance of the average, if each row has unit variance and AR(1) correlation ``rho``."""
    kept = rho * (1.0 - RATE)
    return RATE / (2.0 - RATE) * (1.0 + kept) / (1.0 - kept)


def longest_row(threshold: float) -> float:
    """The length at which ``WINDOW`` rows in succession, all the same way, just pass the threshold from rest."""
    return SAME_WAY * threshold / (1.0 - (1.0 - RATE) ** WINDOW)


def next_average(average: Matrix, deviation: Matrix, threshold: float) -> Matrix:
    """The average after one more whitened row, which is cut to the longest: fewer than ``WINDOW`` cannot alarm."""
    longest = longest_row(threshold)
    following: Matrix = (1.0 - RATE) * average + RATE * (longest / max(length(deviation), longest)) * deviation
    return following


def largest_average(deviations: Floats) -> Floats:
    """The largest norm that the average reaches on each stretch of rows (stretches, rows, d), starting from rest."""
    # One row of all stretches after the other in memory: that is how the loop goes through them.
    averages = np.array(np.moveaxis(deviations, 1, 0), order="C")
    averages *= averages.dtype.type(RATE)
    for before, average in itertools.pairwise(averages):
        average += averages.dtype.type(1.0 - RATE) * before
    largest: Floats = np.sqrt(np.einsum("rsd,rsd->rs", averages, averages).max(axis=0))
    return largest

"""Serving modes: the ways in which one model answers, by where its rows lie (prompt cached or not, one machine or another).

A mode that lasts for hours would pass for a change, or hide one, if all rows were compared with one mean.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.core.drift.lt_ref.whitening import principal_directions
from streams.core.drift.window import Matrix

Places = NDArray[np.intp]

APART: Final = 0.15
"""Share of the variance along the widest direction that is left within two modes, at most. Of one Gaussian cut in two
0.36 is left, of a uniform distribution 0.25."""

FEWEST: Final = 10
"""Rows of a mode: the mean of fewer is too uncertain to compare rows with."""

MOST: Final = 4
"""Modes at most: with more, each has too few of 100 rows."""


def serving_modes(rows: Matrix, least: float) -> Matrix:
    """Which mode each row is of, as (rows, modes) of ones and zeros; one mode if no others stand apart.

    Modes whose rows repeat themselves but for ``least``, the least deviation of a token, count as one: such rows are
    known to the last digit, and their noise cannot be told from them.
    """
    found = _apart(rows)
    within = rows - found @ mode_means(rows, found)
    return found if float((within * within).mean()) > least**2 else np.ones((len(rows), 1))


def _apart(rows: Matrix) -> Matrix:
    modes: list[Places] = []
    pending: list[Places] = [np.arange(len(rows))]
    while pending:
        mode = pending.pop(0)
        first, second = _split(rows[mode])
        if min(len(first), len(second)) < FEWEST or len(modes) + len(pending) + 2 > MOST:
            modes.append(mode)
        else:
            pending += [mode[first], mode[second]]
    membership = np.zeros((len(rows), len(modes)))
    for number, mode in enumerate(modes):
        membership[mode, number] = 1.0
    return membership


def mode_means(rows: Matrix, modes: Matrix) -> Matrix:
    """The means (modes, d) of rows (rows, d)."""
    means: Matrix = (modes.T @ rows) / modes.sum(axis=0)[:, None]
    return means


def _split(rows: Matrix) -> tuple[Places, Places]:
    """The places of the rows on either side of the best cut across the widest direction, all on one if none is good."""
    n, nowhere = len(rows), np.empty(0, np.intp)
    if n < 2 * FEWEST:
        return np.arange(n), nowhere
    centred = rows - rows.mean(axis=0)
    along = centred @ principal_directions(centred)[:, -1]
    order = np.argsort(along, kind="stable")
    below = np.arange(1, n)
    sums = np.cumsum(along[order])[:-1]
    # The sum over all is zero: what lies between the two sides is this, and the rest within them.
    between = sums**2 / below + sums**2 / (n - below)
    total = float(along @ along)
    cut = int(between.argmax())
    if total == 0.0 or total - between[cut] > APART * total:
        return np.arange(n), nowhere
    return order[: cut + 1], order[cut + 1 :]

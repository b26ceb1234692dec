"""The fixed reference of `lt-ref`: what an endpoint's rows look like while its model stays the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from streams.core.drift.lt_ref.features import Features
from streams.core.drift.lt_ref.serial_correlation import serial_correlation
from streams.core.drift.lt_ref.serving_modes import mode_means, serving_modes
from streams.core.drift.lt_ref.whitening import resolution, whitening
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, same_k

REPEAT: Final = 1e6
"""Rows that agree to a millionth of a nat are the same row."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Means and whitening of a reference at its k, over the tokens that at least half of its rows list.

    ``modes`` says which serving mode each of the reference's rows is of (`serving_modes`), ``means`` (modes, d) has the mean
    of each. ``known`` are the rows themselves, ``rho`` their serial correlation, ``least`` is the least deviation that a
    token is taken to have.
    """

    features: Features
    modes: Matrix
    means: Matrix
    whitening: Matrix
    known: frozenset[bytes]
    rho: float
    least: float

    def comparable(self, row: ProbeRow) -> bool:
        """Whether the row lists enough tokens; censoring a much shorter one would invent a change."""
        k = self.features.k
        return row.k >= k or same_k(row.k, k)

    def whitened(self, rows: Sequence[ProbeRow]) -> Matrix:
        """Whitened distances of rows from the nearest mode's mean, as (rows, d)."""
        return self._whiten(self.features.matrix(rows))

    def deviation(self, row: ProbeRow) -> Matrix:
        """The whitened distance (d,) of one row, zero for one that the reference holds to the last digit."""
        features = self.features.vector(row)
        return np.zeros_like(self.means[0]) if _digits(features) in self.known else self._whiten(features)

    def deviations(self, rows: Sequence[ProbeRow]) -> Matrix:
        """As ``whitened``, but zero for a row that the reference holds to the last digit.

        Such a row is no news: a server with a few discrete states (prompt cached or not) repeats itself exactly, a changed
        model does not.
        """
        features = self.features.matrix(rows)
        deviations = self._whiten(features)
        deviations[[_digits(row) in self.known for row in features]] = 0.0
        return deviations

    def _whiten(self, features: Matrix) -> Matrix:
        if len(self.means) == 1:
            whitened: Matrix = (features - self.means[0]) @ self.whitening
            return whitened
        distances = (features[..., None, :] - self.means) @ self.whitening
        nearest = np.einsum("...md,...md->...m", distances, distances).argmin(axis=-1)
        found: Matrix = np.take_along_axis(distances, nearest[..., None, None], axis=-2)[..., 0, :]
        return found


def fit_baseline(rows: Sequence[ProbeRow], k: int, noise: Sequence[ProbeRow] = ()) -> tuple[Baseline, Matrix]:
    """Fit rows cut to ``k``; with it the matrix (rows, d) that thresholds are to be drawn from.

    Covariance and serial correlation are those of ``noise`` if there are such rows: too few rows do not show them, nor
    which modes there are. Then a second mode is a noise like any other.
    """
    listed = Counter(token for row in rows for token in islice(row.tokens, k))
    features = Features([token for token, count in listed.items() if 2 * count >= len(rows)], k)
    matrix = features.matrix(rows)
    least = resolution(matrix)
    modes = np.ones((len(matrix), 1)) if noise else serving_modes(matrix, least)
    means = mode_means(matrix, modes)
    if noise:
        spread = features.matrix(noise)
        centred = spread - spread.mean(axis=0)
    else:
        centred = matrix - modes @ means
    root = whitening(centred.T @ centred / len(centred), least)
    known = frozenset(map(_digits, matrix))
    return Baseline(features, modes, means, root, known, serial_correlation(centred @ root), least), matrix


def _digits(features: Matrix) -> bytes:
    return np.rint(features * REPEAT).astype(np.int64).tobytes()

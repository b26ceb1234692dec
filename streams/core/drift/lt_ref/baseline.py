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
from streams.core.drift.lt_ref.whitening import resolution, whitening
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, same_k

REPEAT: Final = 1e6
"""Rows that agree to a millionth of a nat are the same row."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Mean and whitening of a reference at its k, over the tokens that at least half of its rows list.

    ``known`` are the reference's rows themselves, ``rho`` their serial correlation, ``least`` is the least deviation that a
    token is taken to have.
    """

    features: Features
    mean: Matrix
    whitening: Matrix
    known: frozenset[bytes]
    rho: float
    least: float

    def comparable(self, row: ProbeRow) -> bool:
        """Whether the row lists enough tokens; censoring a much shorter one would invent a change."""
        k = self.features.k
        return row.k >= k or same_k(row.k, k)

    def whitened(self, rows: Sequence[ProbeRow]) -> Matrix:
        """Whitened distances of rows from the reference's mean, as (rows, d)."""
        return self._whiten(self.features.matrix(rows))

    def deviation(self, row: ProbeRow) -> Matrix:
        """The whitened distance (d,) of one row, zero for one that the reference holds to the last digit."""
        features = self.features.vector(row)
        return np.zeros_like(self.mean) if _digits(features) in self.known else self._whiten(features)

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
        return (features - self.mean) @ self.whitening


def fit_baseline(rows: Sequence[ProbeRow], k: int, noise: Sequence[ProbeRow] = ()) -> tuple[Baseline, Matrix]:
    """Fit rows cut to ``k``; with it the matrix (rows, d) that thresholds are to be drawn from.

    Covariance and serial correlation are those of ``noise`` if there are such rows: too few rows do not show them.
    """
    listed = Counter(token for row in rows for token in islice(row.tokens, k))
    features = Features([token for token, count in listed.items() if 2 * count >= len(rows)], k)
    matrix = features.matrix(rows)
    spread = features.matrix(noise) if noise else matrix
    centred = spread - spread.mean(axis=0)
    least = resolution(matrix)
    root = whitening(centred.T @ centred / len(spread), least)
    known = frozenset(map(_digits, matrix))
    return Baseline(features, matrix.mean(axis=0), root, known, serial_correlation(centred @ root), least), matrix


def _digits(features: Matrix) -> bytes:
    return np.rint(features * REPEAT).astype(np.int64).tobytes()

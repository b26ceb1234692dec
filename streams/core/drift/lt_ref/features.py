"""A probe row as numbers: the logprobs of a reference's tokens, and how far the likeliest other one stands out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix


class Features:
    """Turns rows, cut to ``k``, into lines of d numbers: one for each of the ``tokens``, and one for all others.

    A token that a row does not list counts with the row's minimum (`window.censored`). The last number is how far the
    likeliest token that is none of them stands above that minimum: it is news, too.
    """

    def __init__(self, tokens: Sequence[str], k: int) -> None:
        self.tokens = tuple(tokens)
        self.k = k
        self._column = {token: place for place, token in enumerate(self.tokens)}

    def matrix(self, rows: Iterable[ProbeRow]) -> Matrix:
        """Rows as (rows, d)."""
        return np.array([self._line(row) for row in rows]).reshape(-1, len(self.tokens) + 1)

    def vector(self, row: ProbeRow) -> Matrix:
        """One row as (d,)."""
        return np.array(self._line(row))

    def _line(self, row: ProbeRow) -> list[float]:
        # A list, because rows come one by one: numpy takes longer for each number of a short row.
        least, other, column = row.logprobs[min(self.k, row.k) - 1], None, self._column
        line = [least] * len(column)
        for token, logprob in zip(islice(row.tokens, self.k), row.logprobs, strict=False):
            place = column.get(token)
            if place is not None:
                line[place] = logprob
            elif other is None:
                other = logprob
        line.append(0.0 if other is None else other - least)
        return line

"""Rows of a window as one matrix: cut to a common k, over the union of their tokens, censored if one is absent."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.core.drift.judgement import Moved, Span
from streams.core.drift.row import ProbeRow

Matrix = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
"""Of single or double precision."""


def length(vector: Matrix) -> float:
    """The Euclidean norm of a vector; for a short one, numpy's own function takes five times as long."""
    return math.sqrt(float(vector @ vector))


def common_k(rows: Collection[ProbeRow]) -> int:
    """The largest k at which every row can be compared: the shortest row's."""
    return min(row.k for row in rows)


def same_k(k: int, other: int) -> bool:
    """Whether two k differ by no more than tokens that share one spelling explain: a tenth."""
    return abs(k - other) * 10 <= max(k, other)


def union(rows: Iterable[ProbeRow], k: int) -> list[str]:
    """Every token among the top k of any row, in the order in which they first appear."""
    return list(dict.fromkeys(chain.from_iterable(row.tokens[:k] for row in rows)))


def censored(rows: Sequence[ProbeRow], tokens: Sequence[str], k: int) -> Matrix:
    """The rows' logprobs as (rows, tokens); a token outside a row's top k gets the smallest logprob of that top k.

    The published left censoring: an unlisted token is at most as likely as the least likely listed one.
    """
    column = {token: index for index, token in enumerate(tokens)}
    matrix = np.empty((len(rows), len(tokens)))
    for line, row in zip(matrix, rows, strict=True):
        line.fill(row.logprobs[min(k, row.k) - 1])
        for token, logprob in zip(islice(row.tokens, k), row.logprobs, strict=False):
            index = column.get(token)
            if index is not None:
                line[index] = logprob
    return matrix


def span(rows: Sequence[ProbeRow]) -> Span:
    """The times that a run of rows covers."""
    return Span(rows[0].facts.at, rows[-1].facts.at, len(rows))


def moved_tokens(before: Sequence[ProbeRow], after: Sequence[ProbeRow], top: int = 5) -> tuple[Moved, ...]:
    """The tokens whose mean moved most between two windows, largest movement first."""
    rows = [*before, *after]
    k = common_k(rows)
    tokens = union(rows, k)
    matrix = censored(rows, tokens, k)
    old, new = matrix[: len(before)].mean(axis=0), matrix[len(before) :].mean(axis=0)
    order = np.argsort(-np.abs(new - old), kind="stable")[:top]
    return tuple(Moved(tokens[i], float(old[i]), float(new[i])) for i in order)

"""The two-sample permutation test of LT, for many endpoints in one matrix product.

Source: "Log Probability Tracking of LLM APIs" (arXiv 2512.03816); p = (1 + hits) / (permutations + 1) after Phipson and
Smyth (2010), which is never zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.core.drift.lt.lt_detector import mean_shift, pooled_matrix
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix

SLACK: Final = 1e-5
"""Relative slack for ties: wider than what single precision loses over a window, narrower than any real difference."""

BATCH: Final = 8
"""Endpoints per matrix product: enough to keep the processor's units busy, few enough to stay in its cache."""

Weights = NDArray[np.float32]
Samples = tuple[Sequence[ProbeRow], Sequence[ProbeRow]]


@dataclass(frozen=True, slots=True)
class TwoSampleResult:
    """The statistic (nats), its permutation p-value, and how many tokens it is a mean over."""

    statistic: float
    p_value: float
    tokens: int


@lru_cache(maxsize=8)
def sign_matrix(n_a: int, n_b: int, permutations: int, seed: int) -> Weights:
    """Weights (rows, permutations): 1/n_a for a row drawn into the first sample, -1/n_b for one in the second.

    A column times the pooled rows is the difference of means of one permutation. The matrix depends on nothing else,
    so that one serves every endpoint and every call; it is not to be written to.
    """
    rng = np.random.default_rng(seed)
    ranks = rng.random((n_a + n_b, permutations)).argsort(axis=0).argsort(axis=0)
    weights = np.where(ranks < n_a, 1.0 / n_a, -1.0 / n_b).astype(np.float32)
    weights.setflags(write=False)
    return weights


def permutation_tests(pairs: Sequence[Samples], permutations: int, seed: int) -> list[TwoSampleResult]:
    """Test every pair of samples, each at its own common k and over its own union of tokens.

    Pairs of equal sizes share one matrix product. Each sample needs at least one row. Serial correlation makes the
    p-value too small (size 0.71 at a nominal 0.05 for rho 0.8): it is for samples, never for alarms.
    """
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, (a, b) in enumerate(pairs):
        sizes.setdefault((len(a), len(b)), []).append(index)
    results: dict[int, TwoSampleResult] = {}
    for (n_a, n_b), indices in sizes.items():
        weights = sign_matrix(n_a, n_b, permutations, seed)
        for start in range(0, len(indices), BATCH):
            batch = indices[start : start + BATCH]
            pooled = [pooled_matrix(*pairs[index]) for index in batch]
            results.update(zip(batch, matrix_tests(pooled, n_a, weights), strict=True))
    return [results[index] for index in range(len(pairs))]


def matrix_tests(pooled: Sequence[Matrix], n_a: int, weights: Weights) -> Iterator[TwoSampleResult]:
    """Test matrices (rows, tokens) whose first ``n_a`` rows are the first sample, all in one product with ``weights``.

    Each is to be measured from its first row: the product is in single precision.
    """
    moved = np.concatenate([matrix.T for matrix in pooled], dtype=np.float32, casting="same_kind") @ weights
    np.abs(moved, out=moved)
    last = 0
    for matrix in pooled:
        first, last = last, last + matrix.shape[1]
        observed, permuted = mean_shift(matrix, n_a), moved[first:last].sum(axis=0)
        hits = int(np.count_nonzero(permuted >= (last - first) * observed * (1.0 - SLACK)))
        yield TwoSampleResult(observed, (1 + hits) / (len(permuted) + 1), last - first)

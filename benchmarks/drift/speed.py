"""Tests, statistics and updates a second on one core, each beside the obvious way to do the same, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from streams.core.drift import DETECTORS, ProbeRow
from streams.core.drift.lt.lt_detector import lt_statistic, mean_shift, pooled_matrix
from streams.core.drift.lt.permutation_test import BATCH, matrix_tests, permutation_tests, sign_matrix
from streams.core.drift.lt.sliding_statistic import SlidingStatistic
from streams.sandbox.simulated_probes import Endpoint, usable_rows

Matrix = NDArray[np.float64]

N, PERMUTATIONS = 24, 1000
WIDE = Endpoint(sigma=0.8, vocabulary=60)
"""Noise so large that two samples of 24 rows list some 40 tokens between them."""


def rates(ways: dict[str, tuple[Callable[[], object], int]], seconds: float, rounds: int = 3) -> dict[str, float]:
    """Units a second of each way, as the best of alternating rounds; a call of a way does so many units."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for name, (call, units) in ways.items():
            calls, began = 0, time.process_time()
            while (passed := time.process_time() - began) < seconds or not calls:
                call()
                calls += 1
            best[name] = max(best[name], calls * units / passed)
    return best


def permutation_ways() -> dict[str, tuple[Callable[[], object], int]]:
    """Two samples of 24 rows, 1000 permutations: ours, scipy's vectorised test, and a plain loop."""
    pairs = [(rows[:N], rows[N:]) for rows in (usable_rows(WIDE, 2 * N, seed) for seed in range(BATCH))]
    pooled = [pooled_matrix(a, b) for a, b in pairs]
    weights = sign_matrix(N, N, PERMUTATIONS, 0)
    one = pooled[0]
    rng = np.random.default_rng(0)
    return {
        "ours, 8 endpoints a product": (lambda: list(matrix_tests(pooled, N, weights)), BATCH),
        "ours, one endpoint a product": (lambda: list(matrix_tests(pooled[:1], N, weights)), 1),
        "ours, from probe rows": (lambda: permutation_tests(pairs, PERMUTATIONS, 0), BATCH),
        "scipy, vectorised": (lambda: scipy_p_value(one, rng), 1),
        "a loop over permutations": (lambda: looped_p_value(one, rng), 1),
    }


def scipy_p_value(pooled: Matrix, rng: np.random.Generator) -> float:
    """scipy's test of row indices: given the matrices themselves it would test every token on its own."""

    def statistic(a: NDArray[np.int64], b: NDArray[np.int64], axis: int = -1) -> Matrix:
        means = pooled[a].mean(axis=axis - 1) - pooled[b].mean(axis=axis - 1)
        shifts: Matrix = np.abs(means).mean(axis=-1)
        return shifts

    samples = (np.arange(N), np.arange(N, 2 * N))
    found = permutation_test(
        samples, statistic, n_resamples=PERMUTATIONS, vectorized=True, alternative="greater", axis=-1, rng=rng
    )
    return float(found.pvalue)


def looped_p_value(pooled: Matrix, rng: np.random.Generator) -> float:
    """The test as one would write it first."""
    observed, hits = mean_shift(pooled, N), 0
    for _ in range(PERMUTATIONS):
        hits += mean_shift(pooled[rng.permutation(2 * N)], N) >= observed * (1 - 1e-9)
    return (1 + hits) / (PERMUTATIONS + 1)


def sliding_ways(rows: list[ProbeRow]) -> dict[str, tuple[Callable[[], object], int]]:
    """The statistic of every pair of windows: kept up to date, and computed anew from its 48 rows."""

    def incremental() -> None:
        sliding = SlidingStatistic(N)
        for row in rows:
            sliding.push(row)
            if sliding.full:
                assert sliding.value >= 0.0

    ends = cycle(range(2 * N, len(rows) + 1))

    def recomputed() -> None:
        end = next(ends)
        lt_statistic(rows[end - 2 * N : end - N], rows[end - N : end])

    return {"incremental": (incremental, len(rows)), "recomputed": (recomputed, 1)}


def cycle(values: range) -> Iterator[int]:
    """The values again and again."""
    while True:
        yield from values


def detector_ways(rows: list[ProbeRow]) -> dict[str, tuple[Callable[[], object], int]]:
    """A detector's whole life on one quiet endpoint, its fits included."""

    def run(name: str) -> None:
        detector = DETECTORS[name]()
        for row in rows:
            detector.update(row)

    return {name: (lambda name=name: run(name), len(rows)) for name in DETECTORS}  # type: ignore[misc]


def measure(seconds: float) -> dict[str, dict[str, float]]:
    """All rates, per second of one core (numpy's own threads are to be held to one)."""
    rows = usable_rows(Endpoint(), 2000, seed=1)
    return {
        "permutation tests": rates(permutation_ways(), seconds),
        "sliding statistic": rates(sliding_ways(rows), seconds),
        "detector updates": rates(detector_ways(rows), seconds),
    }

"""The permutation test against an independent one, row by row and permutation by permutation."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from streams.core.drift.lt.permutation_test import permutation_tests, sign_matrix
from streams.core.drift.row import ProbeRow
from streams.sandbox.simulated_probes import Endpoint, usable_rows


def naive_statistic(a: Sequence[ProbeRow], b: Sequence[ProbeRow]) -> float:
    """LT's statistic in plain loops, from its text."""
    k = min(len(row.tokens) for row in [*a, *b])
    cut = [dict(list(zip(row.tokens, row.logprobs, strict=True))[:k]) for row in [*a, *b]]
    tokens = {token for row in cut for token in row}
    total = 0.0
    for token in tokens:
        values = [row.get(token, min(row.values())) for row in cut]
        total += abs(sum(values[: len(a)]) / len(a) - sum(values[len(a) :]) / len(b))
    return total / len(tokens)


def naive_p_value(a: list[ProbeRow], b: list[ProbeRow], permutations: int, seed: int) -> float:
    rng, pooled, observed = random.Random(seed), [*a, *b], naive_statistic(a, b)
    hits = 0
    for _ in range(permutations):
        rng.shuffle(pooled)
        hits += naive_statistic(pooled[: len(a)], pooled[len(a) :]) >= observed - 1e-12
    return (1 + hits) / (permutations + 1)


@pytest.mark.parametrize(
    ("endpoint", "split"),
    [
        (Endpoint(rho=0.0), 24),
        (Endpoint(rho=0.0, sigma=0.3), 17),
        (Endpoint(rho=0.5, sigma=0.1), 24),
        (Endpoint(rho=0.0, change_at=20, change_rms=0.02), 20),
        (Endpoint(rho=0.0, k_at=30), 24),
    ],
)
def test_agrees_with_a_naive_test(endpoint: Endpoint, split: int) -> None:
    rows = usable_rows(endpoint, 44, seed=7)
    a, b = rows[:split], rows[split:]
    [result] = permutation_tests([(a, b)], permutations=4000, seed=1)
    assert result.statistic == pytest.approx(naive_statistic(a, b), abs=1e-9)
    assert result.p_value == pytest.approx(naive_p_value(a, b, 1500, seed=2), abs=0.03)


def test_many_endpoints_at_once_get_what_each_gets_alone() -> None:
    pairs = []
    for seed in range(70):
        rows = usable_rows(Endpoint(rho=0.0), 40, seed)
        pairs.append((rows[:20], rows[20:]) if seed % 3 else (rows[:10], rows[10:]))
    together = permutation_tests(pairs, permutations=200, seed=3)
    assert together == [permutation_tests([pair], permutations=200, seed=3)[0] for pair in pairs]


@pytest.mark.parametrize(("n_a", "n_b"), [(24, 24), (25, 21), (1, 7), (40, 3)])
def test_a_constant_endpoint_gives_p_of_one(n_a: int, n_b: int) -> None:
    """Means of equal numbers differ in their last digit where samples differ in size; that is no movement."""
    for seed in range(3):
        rows = usable_rows(Endpoint(sigma=0.0), n_a + n_b, seed)
        [result] = permutation_tests([(rows[:n_a], rows[n_a:])], permutations=500, seed=1)
        assert (result.statistic, result.p_value) == (0.0, 1.0)


def test_p_is_never_zero_and_uniform_where_nothing_changed() -> None:
    rows = usable_rows(Endpoint(rho=0.0, change_at=24, change_rms=1.0), 48, seed=1)
    assert permutation_tests([(rows[:24], rows[24:])], permutations=99, seed=1)[0].p_value == 1 / 100
    quiet = [usable_rows(Endpoint(rho=0.0), 20, seed) for seed in range(200)]
    p_values = [test.p_value for test in permutation_tests([(rows[:10], rows[10:]) for rows in quiet], 199, seed=5)]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.04)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.07)


def test_the_tokens_are_the_union_over_both_samples_at_their_common_k() -> None:
    rows = [ProbeRow(("a", "b", "c"), (-1.0, -2.0, -3.0)), ProbeRow(("b", "d"), (-1.0, -2.0))]
    [result] = permutation_tests([(rows[:1], rows[1:])], permutations=1, seed=0)
    assert result.tokens == 3
    assert result.statistic == pytest.approx((abs(-1.0 - -2.0) + abs(-2.0 - -1.0) + abs(-2.0 - -2.0)) / 3)


def test_the_sign_matrix_is_shared_and_every_column_is_a_permutation() -> None:
    weights = sign_matrix(3, 5, 50, 0)
    assert weights is sign_matrix(3, 5, 50, 0)
    assert ((weights > 0).sum(axis=0) == 3).all()
    assert weights.sum(axis=0) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1.0

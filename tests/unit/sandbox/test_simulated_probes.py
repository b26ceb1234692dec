"""Simulated endpoints are what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.drift.window import censored, common_k, union
from streams.sandbox.simulated_probes import Endpoint, probe_rows, usable_rows


def matrix(endpoint: Endpoint, n: int, seed: int = 1) -> np.ndarray:
    rows = usable_rows(endpoint, n, seed)
    k = common_k(rows)
    return censored(rows, union(rows[:1], k), k)


def test_the_same_seed_gives_the_same_rows() -> None:
    endpoint = Endpoint(common=0.1, mode_rms=0.1, mode_share=0.3, missing=0.1, errors=0.1)
    assert probe_rows(endpoint, 50, 1) == probe_rows(endpoint, 50, 1)
    assert probe_rows(endpoint, 50, 1) != probe_rows(endpoint, 50, 2)


def test_every_row_is_a_distribution_cut_at_k() -> None:
    for row in probe_rows(Endpoint(vocabulary=20, k=20), 20, 1):
        assert sum(np.exp(list(row["logprobs"].values()))) == pytest.approx(1.0)
    assert {len(row["logprobs"]) for row in probe_rows(Endpoint(k_at=10), 20, 1)[:10]} == {20}
    assert {len(row["logprobs"]) for row in probe_rows(Endpoint(k_at=10), 20, 1)[10:]} == {5}


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_noise_has_the_size_and_correlation_asked_for(rho: float) -> None:
    noise = matrix(Endpoint(vocabulary=400, k=400, sigma=0.02, rho=rho), 400)
    noise = noise - noise.mean(axis=0)
    assert noise.std() == pytest.approx(0.02, rel=0.1)
    assert (noise[1:] * noise[:-1]).mean() / noise.var() == pytest.approx(rho, abs=0.05)


def test_a_change_and_a_second_mode_have_the_size_asked_for() -> None:
    # The logits move by the size asked for; the logprobs by that less their mean, weighted by probability.
    sizes = [
        matrix(Endpoint(vocabulary=400, k=400, sigma=0.0, change_at=1, change_rms=0.1), 2, seed) for seed in range(9)
    ]
    assert np.mean([(after - before).std() for before, after in sizes]) == pytest.approx(0.1, rel=0.1)
    modes = matrix(Endpoint(sigma=0.0, mode_rms=0.02, mode_share=0.3), 500)
    values, counts = np.unique(modes[:, 0], return_counts=True)
    assert len(values) == 2
    assert sorted(counts / 500) == pytest.approx([0.3, 0.7], abs=0.05)


def test_missing_rows_and_errors_come_as_often_as_asked_for() -> None:
    rows = probe_rows(Endpoint(vocabulary=5, k=5, missing=0.1, errors=0.2), 4000, 1)
    errors = [row for row in rows if row["error"]]
    assert len(errors) / 4000 == pytest.approx(0.2, abs=0.03)
    assert sum(row["logprobs"] is None for row in rows) / 4000 == pytest.approx(0.3, abs=0.03)

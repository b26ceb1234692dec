"""Exact search against the plainest one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.memory.index import ExactIndex, Vectors


def vectors(count: int, seed: int) -> Vectors:
    rows = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(1, 200), st.integers(0, 130), st.integers(1, 40), st.integers(0, 5))
def test_finds_what_sorting_everything_finds(size: int, queries: int, count: int, seed: int) -> None:
    known, asked = vectors(size, seed), vectors(queries, seed + 1)
    places, similarities = ExactIndex(known).nearest(asked, count)
    wanted = -np.sort(-(asked @ known.T), axis=1)[:, :count]
    assert places.shape == similarities.shape == (queries, min(size, count))
    assert similarities == pytest.approx(wanted, abs=1e-6)
    assert np.einsum("ij,ikj->ik", asked, known[places]) == pytest.approx(wanted, abs=1e-6)


def test_equals_come_in_their_order() -> None:
    known = np.ones((5, 1), dtype=np.float32)
    places, _ = ExactIndex(known).nearest(known[:1], 5)
    assert places.tolist() == [[0, 1, 2, 3, 4]]


def test_an_empty_index_finds_nothing() -> None:
    places, similarities = ExactIndex(np.empty((0, 6), dtype=np.float32)).nearest(vectors(3, 0), 8)
    assert places.shape == similarities.shape == (3, 0)

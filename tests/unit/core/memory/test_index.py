"""Exact search against the plainest one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.memory.index import ExactIndex, Vectors


def vectors(count: int, seed: int) -> Vectors:
    rows = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 130), st.integers(1, 40), st.integers(0, 5))
def test_finds_what_sorting_everything_finds(size: int, queries: int, count: int, seed: int) -> None:
    known, asked = vectors(size, seed), vectors(queries, seed + 1)
    places, similarities = ExactIndex(known).nearest(asked, count)
    wanted = -np.sort(-(asked @ known.T), axis=1)[:, :count]
    assert places.shape == similarities.shape == (queries, min(size, count))
    assert similarities == pytest.approx(wanted, abs=1e-6)
    assert np.einsum("ij,ikj->ik", asked, known[places]) == pytest.approx(wanted, abs=1e-6)


def test_equals_come_in_the_order_of_their_keys() -> None:
    known = np.ones((5, 1), dtype=np.float32)
    places, _ = ExactIndex(known).nearest(known[:1], 5)
    assert places.tolist() == [[0, 1, 2, 3, 4]]


@settings(deadline=None)
@given(st.permutations(range(60)), st.sets(st.integers(0, 59), max_size=20), st.integers(1, 30))
def test_what_is_found_does_not_depend_on_the_order_in_which_equal_vectors_came(
    keys: list[int], gone: set[int], count: int
) -> None:
    rows = vectors(12, 7)[np.arange(60) % 12]
    index, plain = ExactIndex(), ExactIndex()
    index.add(np.array(keys), rows[keys])
    for key in gone:
        index.remove(key)
    left = np.array(sorted(set(keys) - gone))
    plain.add(left, rows[left])
    found, wanted = (one.nearest(vectors(5, 8), count) for one in (index, plain))
    assert found[0].tolist() == wanted[0].tolist()
    assert found[1].tolist() == wanted[1].tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=80), st.integers(1, 10))
def test_after_any_changes_it_finds_what_a_new_one_finds(steps: list[tuple[int, bool]], count: int) -> None:
    index, rows = ExactIndex(), vectors(31, 3)
    there: list[int] = []
    for key, gone in steps:
        if key in there:
            index.remove(key)
            there.remove(key)
        if not gone:
            index.add(np.array([key]), rows[[key]])
            there.append(key)
    assert sorted(index.keys.tolist()) == sorted(there)
    assert all(key in index for key in there)
    assert not there or (index.vectors(np.array(there)) == rows[there]).all()
    asked = vectors(3, 4)
    wanted = -np.sort(-(asked @ rows[there].T), axis=1)[:, :count]
    assert index.nearest(asked, count)[1] == pytest.approx(wanted, abs=1e-6)


def test_an_empty_index_finds_nothing() -> None:
    places, similarities = ExactIndex(np.empty((0, 6), dtype=np.float32)).nearest(vectors(3, 0), 8)
    assert places.shape == similarities.shape == (3, 0)

"""The graph of neighbours against exact search, and how an index grows into one."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.memory.index import ExactIndex, Vectors
from streams.errors import SettingsError
from streams.memory.approximate_index import ApproximateIndex, GrowingIndex


def vectors(count: int, seed: int = 0) -> Vectors:
    """Vectors in clusters, as those of texts are."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(40, 32))
    rows = (centres[chance.integers(0, 40, count)] + 0.5 * chance.normal(size=(count, 32))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def found(index: GrowingIndex | ApproximateIndex | ExactIndex, queries: Vectors, count: int = 8) -> list[set[int]]:
    return [set(row) for row in index.nearest(queries, count)[0].tolist()]


def share_found(index: GrowingIndex | ApproximateIndex, exact: ExactIndex) -> float:
    queries = vectors(200, 2)
    pairs = zip(found(index, queries), found(exact, queries), strict=True)
    return sum(len(one & other) for one, other in pairs) / (8 * len(queries))


def test_the_graph_finds_nearly_all_of_the_nearest_with_their_similarities() -> None:
    known = vectors(2_000)
    graph, exact = ApproximateIndex(32), ExactIndex(known)
    graph.add(np.arange(2_000), known)
    assert share_found(graph, exact) > 0.97
    keys, similarities = graph.nearest(vectors(3, 2), 8)
    assert similarities == pytest.approx(np.einsum("ij,ikj->ik", vectors(3, 2), known[keys]), abs=2e-3)
    assert (graph.nearest(vectors(1, 2), 8)[0] == graph.nearest(vectors(1, 2).repeat(2, axis=0), 8)[0]).all()
    assert graph.vectors(keys[0]) == pytest.approx(known[keys[0]], abs=1e-3)


def test_the_graph_puts_equally_near_ones_in_the_order_of_their_keys() -> None:
    graph = ApproximateIndex(32)
    graph.add(np.array([5, 3, 9, 1]), vectors(1).repeat(4, axis=0))
    assert graph.nearest(vectors(1), 4)[0].tolist() == [[1, 3, 5, 9]]


def test_an_index_grows_into_a_graph_and_answers_all_the_time() -> None:
    known = vectors(1_200)
    index, exact = GrowingIndex(exact=500), ExactIndex()
    for start in range(0, 900, 300):
        keys = np.arange(start, start + 300)
        for one in (index, exact):
            one.add(keys, known[keys])
    assert index.grow()
    assert index.is_exact
    for key in (0, 5, 600, 899):  # some of which are in the graph by now
        index.remove(key)
        exact.remove(key)
    assert share_found(index, exact) == 1.0
    while index.grow():
        pass
    assert not index.is_exact
    assert not index.grow()
    for one in (index, exact):
        one.add(np.arange(900, 1_200), known[900:])
        one.remove(1_000)
    assert len(index) == len(exact) == 1_195
    assert share_found(index, exact) > 0.97
    assert not {0, 5, 600, 899, 1_000} & set(np.ravel(index.nearest(known, 8)[0]).tolist())


def test_after_many_removals_as_many_are_found_as_there_are() -> None:
    known = vectors(600)
    index = GrowingIndex(exact=100)
    index.add(np.arange(600), known)
    while index.grow():
        pass
    for key in range(580):
        index.remove(key)
    assert index.nearest(known[:1], 32)[0].shape == (1, 20)
    keys, _ = index.nearest(known[:40], 32)
    assert keys.shape == (40, 20)
    assert {key for row in keys.tolist() for key in row} == set(range(580, 600))
    for key in range(580, 600):
        index.remove(key)
    assert index.nearest(known[:3], 8)[0].shape == (3, 0)


def test_without_the_library_a_large_memory_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "usearch.index", None)
    index = GrowingIndex(exact=10)
    with pytest.raises(SettingsError, match=r"needs usearch: pip install 'hedgerow\[memory\]'"):
        index.add(np.arange(11), vectors(11))

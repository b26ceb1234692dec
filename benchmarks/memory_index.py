"""What a look-up in the memory costs, by its size: exact search, the graph of neighbours, and the whole look-up of a ticket.

``python -m benchmarks.memory_index``: the vectors are random ones in clusters, as those of texts are; the milliseconds of CPU
are those of one ticket, without its embedding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from streams.core.memory.example import Example
from streams.core.memory.example_set import ExampleSet
from streams.core.memory.index import ExactIndex, Index, Vectors
from streams.core.memory.recall import CANDIDATES, recall
from streams.memory.approximate_index import EXACT, ApproximateIndex, GrowingIndex

DIMENSIONS = 384
BATCH = 16
_CLUSTERS = 400
#: How far the texts of a cluster lie from one another: their cosines are some 0.5, as those of one intent are.
_SPREAD = 1.0


def vectors(count: int, seed: int) -> Vectors:
    """Return random vectors of length one, in clusters."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(_CLUSTERS, DIMENSIONS)).astype(np.float32)
    rows = centres[chance.integers(0, _CLUSTERS, count)]
    rows += _SPREAD * chance.normal(size=(count, DIMENSIONS)).astype(np.float32)
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def milliseconds(work: Callable[[Vectors], object], queries: Vectors, batch: int) -> float:
    """Return what a query costs in batches of this size."""
    work(queries[:batch])
    began = time.process_time()
    for start in range(0, len(queries), batch):
        work(queries[start : start + batch])
    return (time.process_time() - began) * 1000 / len(queries)


def share_found(index: Index, exact: ExactIndex, queries: Vectors, count: int = 8) -> float:
    """Return the share of the nearest that an index finds."""
    pairs = zip(index.nearest(queries, count)[0].tolist(), exact.nearest(queries, count)[0].tolist(), strict=True)
    return sum(len(set(one) & set(other)) for one, other in pairs) / (count * len(queries))


def measure(size: int, queries: Vectors) -> str:
    """Return the line about a memory of this size."""
    known = vectors(size, 1)
    keys = np.arange(size)
    exact, graph = ExactIndex(known), ApproximateIndex(DIMENSIONS)
    began = time.process_time()
    graph.add(keys, known)
    build_s = time.process_time() - began
    index = GrowingIndex()
    held = ExampleSet(index)
    held.put([Example(str(key), None, "", f"label-{key % 77}") for key in range(size)], known)
    while index.grow():
        pass

    def look_up(some: Vectors) -> None:
        for near, found in held.nearest(some, CANDIDATES):
            recall(near, found, "t", 8)

    def search(index: Index) -> Callable[[Vectors], object]:
        return lambda some: index.nearest(some, CANDIDATES)

    return (
        f"{size:>8,}  {milliseconds(search(exact), queries, 1):>9.2f} {milliseconds(search(exact), queries, BATCH):>9.2f}"
        f"  {milliseconds(search(graph), queries, 1):>9.2f} {milliseconds(search(graph), queries, BATCH):>9.2f}"
        f"  {share_found(graph, exact, queries):>9.3f} {build_s:>9.1f}"
        f"  {milliseconds(look_up, queries, BATCH):>9.2f}  {'exact' if index.is_exact else 'graph'}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, EXACT, 50_000, 100_000])
    parser.add_argument("--queries", type=int, default=320)
    parsed = parser.parse_args(arguments)
    print(
        "milliseconds of CPU a ticket, alone and in batches of 16; the share of the 8 nearest that the graph finds; its build, s"
    )
    print(f"{'':>8}  {'exact':>19}  {'graph':>19}  {'found':>9} {'build':>9}  {'look-up':>9}")
    queries = vectors(parsed.queries, 2)
    for size in parsed.sizes:
        print(measure(size, queries), flush=True)


if __name__ == "__main__":
    main()

"""An approximate index for many vectors: usearch's graph of neighbours, from the extra ``memory``."""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.core.memory.index import ExactIndex, Index, Keys, Vectors
from streams.errors import SettingsError

#: Up to this many vectors are compared one by one: that is exact, and costs some 0.4 ms a ticket in batches of 16.
EXACT = 20_000
#: Added to the graph at once while look-ups wait, some hundredths of a second.
_STEP = 64
#: Candidates looked at for each query, and for each vector as it is added: more find more of the nearest, and take longer.
_EXPANSION = 128


class ApproximateIndex:
    """Finds nearly all of the nearest, in a time that hardly grows with the number of vectors, which it keeps as float16.

    Which of equally near ones are found may depend on the order in which they came.
    """

    def __init__(self, dimensions: int) -> None:
        """Raises SettingsError without the extra."""
        try:
            from usearch.index import Index as Graph
        except ImportError:
            raise SettingsError(
                f"a memory of more than {EXACT} examples needs usearch: pip install 'hedgerow[memory]'"
            ) from None
        self._graph: Any = Graph(
            ndim=dimensions, metric="ip", dtype="f16", expansion_add=_EXPANSION, expansion_search=_EXPANSION
        )

    def __len__(self) -> int:
        return len(self._graph)

    def __contains__(self, key: int) -> bool:
        return key in self._graph

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors under keys that are not there yet."""
        self._graph.add(keys.astype(np.uint64), vectors, threads=1)

    def remove(self, key: int) -> None:
        """Remove one that is there."""
        self._graph.remove(key)

    def nearest(self, queries: Vectors, count: int) -> tuple[Keys, Vectors]:
        """Return (keys, cosine similarities), a row for each query: the nearest first, equally near ones by their keys."""
        count = min(count, len(self))
        if not count or not len(queries):
            return np.empty((len(queries), count), dtype=np.int64), np.empty((len(queries), count), dtype=np.float32)
        found = self._graph.search(queries, count, threads=1)
        # Of one query it returns another type, with as many keys as were found; of several rows that are filled up.
        counts = [len(found.keys)] if len(queries) == 1 else found.counts
        if min(counts) < count:
            # A part of the graph that many removals have cut off: compared one by one, which is slow and complete.
            found = self._graph.search(queries, count, threads=1, exact=True)
        keys = found.keys.reshape(-1, count).astype(np.int64)
        similarities: Vectors = 1 - found.distances.reshape(-1, count).astype(np.float32)
        order = np.lexsort((keys, -similarities))
        return np.take_along_axis(keys, order, axis=1), np.take_along_axis(similarities, order, axis=1)

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of keys that are there."""
        found: Vectors = np.asarray(self._graph.get(keys.astype(np.uint64)), dtype=np.float32)
        return found


class GrowingIndex:
    """Exact while there are few vectors, approximate once there are many.

    The graph is built step by step in ``grow``, and the exact index answers until it is whole. It stays a graph if vectors
    are removed again.
    """

    def __init__(self, exact: int = EXACT) -> None:
        self._most = exact
        self._exact: ExactIndex | None = ExactIndex()
        self._graph: ApproximateIndex | None = None
        self._waiting: list[int] = []

    def __len__(self) -> int:
        return len(self._answering)

    @property
    def is_exact(self) -> bool:
        """Whether every vector is compared."""
        return self._exact is not None

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors under keys that are not there yet."""
        if self._graph is not None and self._exact is None:
            self._graph.add(keys, vectors)
            return
        assert self._exact is not None
        self._exact.add(keys, vectors)
        if self._graph is not None:
            self._waiting += keys.tolist()
        elif len(self._exact) > self._most:
            self._graph = ApproximateIndex(vectors.shape[1])
            self._waiting = self._exact.keys.tolist()

    def grow(self) -> bool:
        """Take a step towards the graph, if one is needed; return whether there are more to take."""
        if self._exact is None or self._graph is None:
            return False
        some, self._waiting = self._waiting[:_STEP], self._waiting[_STEP:]
        keys = np.array([key for key in some if key in self._exact], dtype=np.int64)
        if len(keys):
            self._graph.add(keys, self._exact.vectors(keys))
        if not self._waiting:
            self._exact = None
        return bool(self._waiting)

    def remove(self, key: int) -> None:
        """Remove one that is there."""
        if self._exact is not None:
            self._exact.remove(key)
            if self._graph is None or key not in self._graph:
                return
        assert self._graph is not None
        self._graph.remove(key)

    def nearest(self, queries: Vectors, count: int) -> tuple[Keys, Vectors]:
        """Return (keys, cosine similarities), a row for each query: the nearest first, equally near ones by their keys."""
        return self._answering.nearest(queries, count)

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of keys that are there."""
        return self._answering.vectors(keys)

    @property
    def _answering(self) -> Index:
        found = self._exact if self._exact is not None else self._graph
        assert found is not None
        return found

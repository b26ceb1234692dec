"""Exact search for the nearest vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Embeddings of length one, a row each: (texts, dimensions)."""

#: Queries searched at once: with 50,000 vectors their similarities take 13 MB.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class ExactIndex:
    """Compares a query with every vector: up to some 20,000 of them faster than an approximate index is worth."""

    vectors: Vectors

    def nearest(self, queries: Vectors, count: int) -> tuple[NDArray[np.intp], Vectors]:
        """Return (places, cosine similarities), a row for each query, the nearest first; equals in their order.

        Each row has ``count`` columns, or as many as there are vectors.
        """
        count = min(count, len(self.vectors))
        places = np.empty((len(queries), count), dtype=np.intp)
        similarities = np.empty((len(queries), count), dtype=np.float32)
        for start in range(0, len(queries), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found = queries[part] @ self.vectors.T
            # The few nearest are picked before they are sorted: sorting all would take most of the time.
            some = np.argpartition(-found, count - 1, axis=1)[:, :count] if count else places[part]
            some.sort(axis=1)
            order = np.argsort(-np.take_along_axis(found, some, axis=1), axis=1, kind="stable")
            places[part] = np.take_along_axis(some, order, axis=1)
            similarities[part] = np.take_along_axis(found, places[part], axis=1)
        return places, similarities

"""Exact search for the nearest vectors, which may come and go."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Embeddings of length one, a row each: (texts, dimensions)."""

Keys = NDArray[np.int64]

#: Queries searched at once: with 50,000 vectors their similarities take 13 MB.
_AT_ONCE = 64
_FIRST_ROWS = 256
#: Similarities that differ by less are equal: the product of two vectors is not the same to the last digit in every row.
_NOISE = 2e-6


class Index(Protocol):
    """Vectors by their keys, and which of them are nearest to others."""

    def __len__(self) -> int: ...

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors under keys that are not there yet."""

    def remove(self, key: int) -> None:
        """Remove one that is there."""

    def nearest(self, queries: Vectors, count: int) -> tuple[Keys, Vectors]:
        """Return (keys, cosine similarities), a row for each query: the nearest first, equally near ones by their keys.

        Each row has ``count`` columns, or as many as there are vectors.
        """

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of keys that are there."""


class ExactIndex:
    """Compares a query with every vector: up to some 20,000 of them faster than an approximate index is worth.

    What it finds depends on the vectors and their keys alone, and not on the order in which they came.
    """

    def __init__(self, vectors: Vectors | None = None) -> None:
        """``vectors`` have the keys 0, 1, 2 ..."""
        self._rows: Vectors = np.empty((0, 0), dtype=np.float32)
        self._keys: Keys = np.empty(0, dtype=np.int64)
        self._row_of: dict[int, int] = {}
        if vectors is not None and len(vectors):
            self.add(np.arange(len(vectors)), vectors)

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, key: int) -> bool:
        return key in self._row_of

    @property
    def keys(self) -> Keys:
        """Every key."""
        return self._keys[: len(self)]

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors under keys that are not there yet."""
        begin, end = len(self), len(self) + len(keys)
        if end > len(self._keys):
            self._grow(end, vectors.shape[1])
        self._rows[begin:end] = vectors
        self._keys[begin:end] = keys
        self._row_of.update(zip(keys.tolist(), range(begin, end), strict=True))

    def remove(self, key: int) -> None:
        """Remove one that is there; the last one takes its place."""
        row = self._row_of.pop(key)
        last = len(self)
        if row != last:
            moved = int(self._keys[last])
            self._rows[row], self._keys[row], self._row_of[moved] = self._rows[last], moved, row

    def nearest(self, queries: Vectors, count: int) -> tuple[Keys, Vectors]:
        """Return (keys, cosine similarities), a row for each query: the nearest first, equally near ones by their keys.

        Each row has ``count`` columns, or as many as there are vectors.
        """
        count = min(count, len(self))
        rows = self._rows[: len(self)]
        places = np.empty((len(queries), count), dtype=np.int64)
        similarities = np.empty((len(queries), count), dtype=np.float32)
        for start in range(0, len(queries) if count else 0, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found = queries[part] @ rows.T
            # The few nearest are picked before they are sorted: sorting all would take most of the time.
            least = np.partition(found, len(self) - count, axis=1)[:, len(self) - count]
            for place, (query, scores, lowest) in enumerate(zip(queries[part], found, least, strict=True), start):
                near = self._picked(scores, lowest, count)
                # In double precision, so that the same vector is as near wherever its row is.
                again = (rows[near].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
                order = np.lexsort((self._keys[near], -again))
                places[place], similarities[place] = near[order], again[order]
        return self._keys[places], similarities

    def _picked(self, scores: Vectors, lowest: np.float32, count: int) -> NDArray[np.intp]:
        """Return the ``count`` rows with the highest scores, of which ``lowest`` is the least; equal ones by their keys."""
        some = np.flatnonzero(scores >= lowest - _NOISE)
        if len(some) == count:
            return some
        is_equal = scores[some] <= lowest + _NOISE
        above, equal = some[~is_equal], some[is_equal]
        return np.concatenate([above, equal[np.argsort(self._keys[equal])[: count - len(above)]]])

    def vectors(self, keys: Keys) -> Vectors:
        """Return the vectors of keys that are there."""
        found: Vectors = self._rows[[self._row_of[key] for key in keys.tolist()]]
        return found

    def _grow(self, needed: int, dimensions: int) -> None:
        size = max(_FIRST_ROWS, needed, 2 * len(self._keys) if len(self) else 0)
        rows, keys = np.empty((size, dimensions), dtype=np.float32), np.empty(size, dtype=np.int64)
        if len(self):
            rows[: len(self)], keys[: len(self)] = self._rows[: len(self)], self._keys[: len(self)]
        self._rows, self._keys = rows, keys

"""Vectors as they stand in messages: float16, little-endian."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streams.core.memory.index import Vectors

_KEPT = np.dtype("<f2")


def packed(vectors: Vectors) -> list[bytes]:
    """Return each row as bytes. A row of length one keeps that to a two-thousandth."""
    return [row.tobytes() for row in vectors.astype(_KEPT)]


def unpacked(rows: Sequence[bytes]) -> Vectors:
    """Return rows of the same number of bytes as vectors of length one."""
    vectors = np.frombuffer(b"".join(rows), dtype=_KEPT).reshape(len(rows), -1).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit

from __future__ import annotations

import numpy as np
import pytest

from streams.core.memory.vector_bytes import packed, unpacked


def test_vectors_come_back_with_length_one_and_nearly_the_same() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = packed(vectors)
    assert {len(row) for row in rows} == {768}
    again = unpacked(rows)
    assert np.linalg.norm(again, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.einsum("ij,ij->i", vectors, again) == pytest.approx(1, abs=1e-5)


def test_bytes_are_little_endian() -> None:
    assert packed(np.array([[1, 0]], dtype=np.float32)) == [b"\x00\x3c\x00\x00"]

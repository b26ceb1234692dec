"""Small memories, with an embedder that needs no model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np

from streams.core.memory.example import Example
from streams.core.memory.index import Vectors
from streams.memory.memory import Memory


class Letters:
    """Embeds a text as the counts of its characters: texts of the same characters are the same."""

    model = "letters"
    dimensions: int | None = 128

    def __init__(self) -> None:
        self.embedded: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        counts = np.zeros((len(texts), 128), dtype=np.float32)
        for place, text in enumerate(texts):
            for letter in text:
                counts[place, ord(letter) % 128] += 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@asynccontextmanager
async def open_letters(*_: object, **__: object) -> AsyncIterator[Letters]:
    """What stands in for ``open_embedder``."""
    yield Letters()


async def memory_of(labelled: Mapping[str, str | None], shown: int = 8) -> Memory:
    """A memory of texts and their labels."""
    examples = [Example(f"e-{place}", None, text, label) for place, (text, label) in enumerate(labelled.items())]
    return await Memory.of(examples, Letters(), shown)

"""What the memory asks of a model that makes embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streams.core.memory.index import Vectors


class Embedder(Protocol):
    """Makes vectors of texts, so that texts that mean much the same have nearly the same vector."""

    @property
    def model(self) -> str:
        """The model's id; vectors of different models cannot be compared."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text, in their order; the event loop stays free meanwhile."""

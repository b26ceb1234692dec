"""What is asked of a model that makes embeddings, whether it runs here or behind an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streams.core.memory.index import Vectors


class Embedder(Protocol):
    """Makes vectors of texts, so that texts that mean much the same have nearly the same vector."""

    @property
    def model(self) -> str:
        """The model's id; vectors of different models cannot be compared."""

    @property
    def dimensions(self) -> int | None:
        """The length of its vectors; None as long as it is not known."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text, in their order; the event loop stays free meanwhile.

        A text that the model refuses has a vector of zeros, which is like nothing. Raises TryAgain if the model does not
        answer now, and StopWorker if it never will, or is another one than it was.
        """

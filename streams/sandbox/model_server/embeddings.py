"""The sandbox's embeddings: all-MiniLM-L6-v2 if the extra ``memory`` is installed, else hashed words."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from streams.core.memory.index import Vectors
from streams.embedding.embedder import Embedder
from streams.embedding.minilm import DIMENSIONS, MiniLM
from streams.errors import SettingsError
from streams.sandbox.model_server.features import words_phrases_and_pieces


class HashedWords:
    """Texts with the same words, phrases and pieces of words are near one another; no model, and so no meaning."""

    model = "hashed-words"
    dimensions: int | None = DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text: each feature adds or takes away one at a place of its hash."""
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for feature in words_phrases_and_pieces(text) or [text]:
                hashed = zlib.crc32(feature.encode("utf-8", "replace"))
                vector[hashed % DIMENSIONS] += 1 if hashed & 0x8000_0000 else -1
            if not vector.any():  # features that cancel one another out
                vector[0] = 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


class SandboxEmbedder:
    """Either of them, loaded at the first request: most servers are never asked for embeddings."""

    def __init__(self, load: Callable[[], Embedder] = MiniLM) -> None:
        self._load = load
        self._embedder: Embedder | None = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text."""
        if self._embedder is None:
            try:
                self._embedder = self._load()
            except SettingsError:
                self._embedder = HashedWords()
        return await self._embedder.embed(texts)

"""TF-IDF in the place of an embedding: what the memory is worth if its neighbours share words, not meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streams.core.memory.index import Vectors
from streams.sandbox.model_server.features import words


class TfIdf:
    """The embedder; its words and their weights are those of the texts that it is made of."""

    model = "tfidf"

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=True, dtype=np.float32).fit(texts)

    @property
    def dimensions(self) -> int:
        """The number of words that it knows."""
        return len(self._vectorizer.vocabulary_)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text; of length zero for one without a known word."""
        vectors: Vectors = self._vectorizer.transform(texts).toarray()
        return vectors

"""Which waiting tickets say nearly the same: the embeddings of the front of the queue, made while nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import numpy as np
import structlog

from streams.core.signal.redaction import Redaction, redact
from streams.embedding.embedder import Embedder
from streams.errors import HedgerowError
from streams.reviews.store import ReviewStore

log = structlog.get_logger(__name__)

#: How much of the queue is compared: 20 MB of vectors, and some milliseconds a look.
FRONT = 5_000
_CHUNK = 64
_PAUSE_S = 5.0


class Nearness:
    """Embeds the texts of the waiting reviews, the most uncertain first, and compares them."""

    def __init__(
        self,
        store: ReviewStore,
        redactions: Sequence[Redaction],
        embedder: Callable[[], AbstractAsyncContextManager[Embedder]],
    ) -> None:
        self._store = store
        self._redactions = redactions
        self._embedder = embedder
        self._vectors: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}

    async def run(self) -> None:
        """Follow the front of the queue until it is cancelled; without embeddings only equal texts are found."""
        told = ""
        while True:
            try:
                async with self._embedder() as embedder:
                    while True:
                        await self.follow(embedder)
                        await asyncio.sleep(_PAUSE_S)
            except HedgerowError as error:
                if told != (told := str(error)):
                    log.warning("tickets that say nearly the same are not found", problem=told)
                await asyncio.sleep(12 * _PAUSE_S)

    async def follow(self, embedder: Embedder) -> None:
        """Embed what is new at the front of the queue, and forget what waits no more."""
        seen: set[str] = set()
        for start in range(0, FRONT, _CHUNK):
            items = await asyncio.to_thread(self._store.waiting, _CHUNK, start)
            new = [item.review for item in items if item.review.review_id not in self._vectors]
            seen |= {item.review.review_id for item in items}
            if new:
                texts = [redact(review.ticket.text, self._redactions) for review in new]
                vectors = await embedder.embed(texts)
                for review, vector in zip(new, vectors, strict=True):
                    self._vectors[review.review_id] = vector
            if len(items) < _CHUNK:
                break
        self._vectors = {review_id: vector for review_id, vector in self._vectors.items() if review_id in seen}

    def near(self, review_id: str, least: float, limit: int) -> dict[str, float]:
        """Return the other reviews whose similarity (cosine) is not less than ``least``, the most similar first."""
        mine = self._vectors.get(review_id)
        if mine is None:
            return {}
        # At once: others are embedded meanwhile, in another thread.
        ids, vectors = zip(*self._vectors.items(), strict=True)
        similarities = np.stack(vectors) @ mine
        order = [int(place) for place in np.argsort(-similarities, kind="stable") if similarities[place] >= least]
        found = [(ids[place], float(similarities[place])) for place in order if ids[place] != review_id]
        return dict(found[:limit])

"""Examples with their embeddings, asked about tickets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import structlog

from schemas import Call, Ticket
from streams.core.memory.example import Example
from streams.core.memory.example_set import ExampleSet
from streams.core.memory.index import Vectors
from streams.core.memory.recall import CANDIDATES, Recalled, recall, recalled_before
from streams.core.policy.fitted import FittedMemory
from streams.core.signal.redaction import Redaction, redact
from streams.embedding.embedder import Embedder
from streams.errors import StopWorker
from streams.memory.approximate_index import GrowingIndex

log = structlog.get_logger(__name__)

INDEX_BUILT = "the index of the memory is built"
"""The line of the log after which a large memory is no longer compared one by one."""

Result = TypeVar("Result")

_CHUNK = 256
"""Texts handed to the embedder at once: some tenths of a second between two steps of a progress bar."""


class Memory:
    """The examples, and the embedder that made their vectors. Changes and look-ups leave the event loop free.

    ``shown`` is how many examples a prompt holds at most, ``limit`` how many there are; ``redactions`` is what is taken
    out of an example's text as it comes, and of a ticket's before it is embedded, as it is before a model sees it.
    """

    def __init__(
        self, embedder: Embedder, shown: int, redactions: Sequence[Redaction] = (), *, limit: int | None = None
    ) -> None:
        self.embedder = embedder
        self._shown = shown
        self._redactions = redactions
        self._index = GrowingIndex()
        self._examples = ExampleSet(self._index, limit)
        self._lock = threading.Lock()
        self._changed = asyncio.Event()
        self._dimensions: int | None = None

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def dimensions(self) -> int | None:
        """The length of its vectors; None before the first, of a model that does not say it."""
        return self._dimensions or self.embedder.dimensions

    @property
    def fitted(self) -> FittedMemory:
        """What a policy that is fitted with this memory names of it."""
        return FittedMemory(embedding_model=self.embedder.model, examples=self._shown, size=len(self))

    @classmethod
    async def of(
        cls,
        examples: Sequence[Example],
        embedder: Embedder,
        shown: int,
        redactions: Sequence[Redaction] = (),
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Memory:
        """Embed the examples, and leave out those whose text the embedder refuses.

        ``progress`` is called with the number of texts after each step.
        """
        memory = cls(embedder, shown, redactions)
        for start in range(0, len(examples), _CHUNK):
            some = examples[start : start + _CHUNK]
            vectors = await embedder.embed([example.text for example in some])
            known = np.flatnonzero(vectors.any(axis=1)).tolist()
            await memory.put([some[place] for place in known], vectors[known])
            progress(len(some))
        return memory

    async def put(self, examples: Sequence[Example], vectors: Vectors, at_ms: Sequence[int] = ()) -> int:
        """Add examples, or replace those with their ids, and return how many were dropped for want of room.

        ``at_ms`` is when each was labelled; without it those that come first are the oldest.
        """
        self._dimensions = vectors.shape[1]
        dropped = await asyncio.to_thread(self._put, examples, vectors, at_ms)
        self._changed.set()
        return dropped

    async def growing(self) -> None:
        """Build the index of a large memory, for as long as this runs. Look-ups and changes go on between two steps."""
        while True:
            self._changed.clear()
            was_exact = self._index.is_exact
            while await asyncio.to_thread(self._locked, self._index.grow):
                pass
            if was_exact and not self._index.is_exact:
                log.info(INDEX_BUILT, examples=len(self))
            await self._changed.wait()

    async def forget(self, example_ids: Iterable[str]) -> None:
        """Forget examples; those that are not there are nothing to forget."""
        await asyncio.to_thread(self._locked, self._forget, tuple(example_ids))

    def before(self, ticket: Ticket, call: Call) -> Recalled | None:
        """Return what was recalled of a ticket for an earlier call, with the examples that are still there.

        None if the call does not say.
        """
        return recalled_before(call, ticket.ticket_id, self._examples.get)

    async def recall(
        self, tickets: Sequence[Ticket], *, progress: Callable[[int], None] = lambda _: None
    ) -> list[Recalled]:
        """Return what the memory says of each ticket, in their order; with no example it says nothing.

        ``progress`` is called with the number of tickets after each step. Raises what the embedder does, and
        StopWorker if its vectors are not of the memory's length.
        """
        found: list[Recalled] = []
        for start in range(0, len(tickets) if len(self) else 0, _CHUNK):
            some = tickets[start : start + _CHUNK]
            vectors = await self.embedder.embed([redact(ticket.text, self._redactions) for ticket in some])
            if vectors.shape[1] != self._dimensions:
                raise StopWorker(
                    f"{self.embedder.model} makes vectors of {vectors.shape[1]} dimensions, and those of the memory have "
                    f"{self._dimensions}: they are another model's; run hedgerow memory rebuild"
                )
            found += await asyncio.to_thread(self._locked, self._recall, some, vectors)
            progress(len(some))
        return found or [Recalled()] * len(tickets)

    def _put(self, examples: Sequence[Example], vectors: Vectors, at_ms: Sequence[int]) -> int:
        # Once for each example, and not for each prompt that shows it.
        redacted = [replace(example, text=redact(example.text, self._redactions)) for example in examples]
        return self._locked(self._examples.put, redacted, vectors, at_ms)

    def _recall(self, tickets: Sequence[Ticket], vectors: Vectors) -> list[Recalled]:
        nearest = self._examples.nearest(vectors, CANDIDATES)
        return [
            recall(neighbours, near, ticket.ticket_id, self._shown) if vector.any() else Recalled()
            for ticket, vector, (neighbours, near) in zip(tickets, vectors, nearest, strict=True)
        ]

    def _forget(self, example_ids: Sequence[str]) -> None:
        for example_id in example_ids:
            self._examples.forget(example_id)

    def _locked(self, work: Callable[..., Result], *arguments: object) -> Result:
        with self._lock:
            return work(*arguments)

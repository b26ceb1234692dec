"""Examples with their embeddings, asked about tickets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from schemas import Ticket
from streams.core.memory.example import Example
from streams.core.memory.index import ExactIndex
from streams.core.memory.recall import CANDIDATES, NearExample, Recalled, recall
from streams.core.policy.fitted import FittedMemory
from streams.core.signal.redaction import Redaction, redact
from streams.memory.embedder import Embedder

_CHUNK = 256
"""Texts handed to the embedder at once: some tenths of a second between two steps of a progress bar."""


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The examples, and what was made of their texts. ``shown`` is how many of them a prompt holds at most."""

    examples: Sequence[Example]
    index: ExactIndex
    embedder: Embedder
    shown: int
    redactions: Sequence[Redaction] = ()
    """What is taken out of a ticket's text before it is embedded, as it is before a model sees it."""

    @property
    def fitted(self) -> FittedMemory:
        """What a policy that is fitted with this memory names of it."""
        return FittedMemory(embedding_model=self.embedder.model, examples=self.shown, size=len(self.examples))

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
        """Embed the examples; ``progress`` is called with the number of texts after each step."""
        vectors = []
        for start in range(0, len(examples), _CHUNK):
            some = examples[start : start + _CHUNK]
            vectors.append(await embedder.embed([example.text for example in some]))
            progress(len(some))
        return cls(examples, ExactIndex(np.concatenate(vectors)), embedder, shown, redactions)

    async def recall(self, tickets: Sequence[Ticket]) -> list[Recalled]:
        """Return what the memory says of each ticket, in their order."""
        found: list[Recalled] = []
        for start in range(0, len(tickets), _CHUNK):
            some = tickets[start : start + _CHUNK]
            vectors = await self.embedder.embed([redact(ticket.text, self.redactions) for ticket in some])
            places, similarities = self.index.nearest(vectors, CANDIDATES)
            for ticket, near, scores in zip(some, places, similarities, strict=True):
                neighbours = [
                    NearExample(self.examples[place], float(score)) for place, score in zip(near, scores, strict=True)
                ]
                found.append(recall(neighbours, self.index.vectors[near], ticket.ticket_id, self.shown))
        return found

"""The examples of a memory with their embeddings: they come, are replaced and are forgotten, and are bounded in number."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas import digest_of
from streams.core.memory.example import Example
from streams.core.memory.index import Index, Vectors
from streams.core.memory.recall import NearExample

_COUNTED = 1 << 23
"""The lower part of a key is a number below this, the upper part 40 bits of the example's id."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An example, the key of its vector, and when it was labelled (Unix time, milliseconds)."""

    example: Example
    key: int
    at_ms: int


class ExampleSet:
    """Examples by their ids, at most ``limit`` of them.

    Beyond it the oldest of the most crowded label is dropped, and those that fit no label are a crowd like the others. So
    which ones are left depends on what came, and hardly on its order. The same holds for examples that are equally old, or
    equally near to a ticket: these are ordered by their ids, so that every worker shows the same ones.
    """

    def __init__(self, index: Index, limit: int | None = None) -> None:
        self._index = index
        self._limit = limit
        self._entries: dict[str, _Entry] = {}
        self._by_key: dict[int, Example] = {}
        self._counts: dict[str | None, int] = {}
        # By label: time, key and id; what was replaced or forgotten since is still there.
        self._oldest: dict[str | None, list[tuple[int, int, str]]] = {}
        self._entered = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def counts(self) -> dict[str | None, int]:
        """How many there are of each label; None: of none."""
        return dict(self._counts)

    def get(self, example_id: str) -> Example | None:
        """Return an example by its id; None if there is none."""
        entry = self._entries.get(example_id)
        return None if entry is None else entry.example

    def put(self, examples: Sequence[Example], vectors: Vectors, at_ms: Sequence[int] = ()) -> int:
        """Add examples with their vectors, or replace those with their ids; return how many were dropped for want of room.

        ``at_ms`` is when each was labelled; without it those that come first are the oldest.
        """
        last = {example.id: place for place, example in enumerate(examples)}
        for name in last:
            self.forget(name)
        places = list(last.values())
        keys = [self._new_key(name) for name in last]
        if places:
            self._index.add(np.array(keys, dtype=np.int64), vectors[places])
        for order, (key, place) in enumerate(zip(keys, places, strict=True), self._entered - len(keys)):
            self._enter(_Entry(examples[place], key, at_ms[place] if at_ms else order))
        dropped = 0
        while self._limit is not None and len(self) > self._limit:
            self._drop_one()
            dropped += 1
        return dropped

    def forget(self, example_id: str) -> bool:
        """Forget an example; return whether it was there."""
        entry = self._entries.pop(example_id, None)
        if entry is None:
            return False
        self._index.remove(entry.key)
        del self._by_key[entry.key]
        label = entry.example.label
        self._counts[label] -= 1
        if not self._counts[label]:
            del self._counts[label], self._oldest[label]
        return True

    def nearest(self, queries: Vectors, count: int) -> list[tuple[list[NearExample], Vectors]]:
        """Return the ``count`` nearest examples of each query, the nearest first, with their vectors."""
        keys, similarities = self._index.nearest(queries, count)
        return [
            (
                [
                    NearExample(self._by_key[key], score)
                    for key, score in zip(row.tolist(), scores.tolist(), strict=True)
                ],
                self._index.vectors(row),
            )
            for row, scores in zip(keys, similarities, strict=True)
        ]

    def _new_key(self, example_id: str) -> int:
        """Return a key that was not used for another vector, and that orders by id."""
        self._entered += 1
        return int.from_bytes(digest_of(example_id)[:5]) * _COUNTED + self._entered % _COUNTED

    def _enter(self, entry: _Entry) -> None:
        label = entry.example.label
        self._entries[entry.example.id] = entry
        self._by_key[entry.key] = entry.example
        self._counts[label] = self._counts.get(label, 0) + 1
        crowd = self._oldest.setdefault(label, [])
        heapq.heappush(crowd, (entry.at_ms, entry.key, entry.example.id))
        if len(crowd) > 2 * self._counts[label] + 16:
            self._oldest[label] = [item for item in crowd if self._is_there(item)]
            heapq.heapify(self._oldest[label])

    def _drop_one(self) -> None:
        # Of labels that are equally crowded the last by name, so that all workers drop the same.
        crowded = max(self._counts, key=lambda label: (self._counts[label], label is None, label or ""))
        crowd = self._oldest[crowded]
        while not self._is_there(crowd[0]):
            heapq.heappop(crowd)
        self.forget(crowd[0][2])

    def _is_there(self, item: tuple[int, int, str]) -> bool:
        entry = self._entries.get(item[2])
        return entry is not None and entry.key == item[1]

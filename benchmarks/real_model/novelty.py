"""How well novelty tells messages that fit no label from the others: on Banking77 with intents left out, and on the sandbox's tickets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from benchmarks.calibration import Rows
from benchmarks.real_model.tables import percent, table
from schemas import Ticket
from streams.core.calibration.measures import Floats, auroc
from streams.core.memory.example import Example
from streams.embedding.embedder import Embedder
from streams.memory.memory import Memory
from streams.sandbox.tickets import CALIBRATION, DEMO, TRAIN

_PARTS = 7
#: Shares of what is in scope that are given up for what is caught out of scope.
_GIVEN_UP = (0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True, eq=False)
class Novelties:
    """The novelties of messages in scope and out of scope, over one data set."""

    name: str
    inside: Floats
    outside: Floats

    @property
    def area(self) -> float:
        """How often a message out of scope is newer than one in scope."""
        right = np.concatenate((np.ones(len(self.inside)), np.zeros(len(self.outside))))
        return auroc(-np.concatenate((self.inside, self.outside)), right) or 0.0

    def caught(self, given_up: float) -> float:
        """Return the share out of scope above the novelty that this share in scope exceeds."""
        return float((self.outside > np.quantile(self.inside, 1 - given_up)).mean())


async def unknown_intents(train: Rows, test: Rows, embedder: Embedder, seed: int) -> Novelties:
    """Leave out a seventh of the 77 intents from the memory, each once; their test messages are out of scope then."""
    intents = sorted({intent for _, intent in train})
    random.Random(seed).shuffle(intents)
    inside: list[float] = []
    outside: list[float] = []
    for part in range(_PARTS):
        unknown = set(intents[part::_PARTS])
        memory = await _memory([(text, intent) for text, intent in train if intent not in unknown], embedder)
        for (_, intent), novelty in zip(test, await _novelties(memory, [text for text, _ in test]), strict=True):
            (outside if intent in unknown else inside).append(novelty)
    return Novelties("Banking77, a seventh of the intents left out", np.array(inside), np.array(outside))


async def sandbox_novelties(embedder: Embedder) -> Novelties:
    """Ask a memory of the sandbox's training tickets about the others; those without a label are out of scope."""
    taught = [orjson.loads(line) for line in TRAIN.read_bytes().splitlines()]
    rows = [orjson.loads(line) for path in (CALIBRATION, DEMO) for line in path.read_bytes().splitlines()]
    memory = await _memory([(row["text"], row["label"]) for row in taught if row.get("label")], embedder)
    found = await _novelties(memory, [row["text"] for row in rows])
    both: dict[bool, list[float]] = {True: [], False: []}
    for row, novelty in zip(rows, found, strict=True):
        both[bool(row.get("label"))].append(novelty)
    return Novelties("the sandbox's tickets", np.array(both[True]), np.array(both[False]))


def print_novelty(found: Sequence[Novelties]) -> None:
    """Print what novelty tells apart."""
    head = (
        "messages",
        "in scope",
        "out of scope",
        "AUROC",
        *(f"caught if {share:.0%} in scope is given up" for share in _GIVEN_UP),
    )
    rows = [
        [one.name, len(one.inside), len(one.outside), f"{one.area:.3f}", *(percent(one.caught(share)) for share in _GIVEN_UP)]
        for one in found
    ]  # fmt: skip
    print(table(head, rows))


async def _memory(rows: Sequence[tuple[str, str]], embedder: Embedder) -> Memory:
    examples = [Example(f"train-{number}", None, text, label) for number, (text, label) in enumerate(rows)]
    return await Memory.of(examples, embedder, 0)


async def _novelties(memory: Memory, texts: Sequence[str]) -> list[float]:
    asked = [Ticket(ticket_id=f"test-{number}", text=text) for number, text in enumerate(texts)]
    return [one.novelty if one.novelty is not None else 1.0 for one in await memory.recall(asked)]

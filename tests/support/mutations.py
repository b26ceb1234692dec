"""Response bodies with something broken in them, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import orjson

from benchmarks.fuzz.mutations import mutate
from tests.support import bodies
from tests.support.bodies import Tok

#: Answers that each shape is filled with.
ANSWERS: tuple[list[Tok], ...] = (
    [Tok("refund", 0.9, {"billing": 0.05, "Refund": 0.02})],
    [Tok(" ref", 0.6, {" Ref": 0.1, " bill": 0.2}), Tok("und", 0.9, {"use": 0.05})],
    [Tok("trans", 0.7, {"refund": 0.2}), Tok("fer", 0.6, {"action": 0.3}), Tok("\n", 0.9, {"": 0.05})],
    [Tok('{"label": "', 0.99, {"{": 0.005}), Tok("billing", 0.8, {"refund": 0.1}), Tok('"}', 0.9, {'"': 0.05})],
    [Tok("<think>so</think>", 0.9, {"x": 0.1}), Tok("refund", 0.5, {"billing": 0.4}, listed=False)],
    [Tok("pizza", 0.5, {"refund": 0.4})],
)


@cache
def originals() -> list[bytes]:
    """Every shape with every answer, as JSON."""
    whole = [shape(answer) for shape in bodies.SHAPES.values() for answer in ANSWERS]
    extra = [bodies.cohere(), bodies.anthropic(), {"error": {"message": "no"}}, bodies.legacy_one_dict(ANSWERS[0])]
    streams = [[bodies.legacy([token]) for token in answer] for answer in ANSWERS]
    return [orjson.dumps(body) for body in [*whole, *extra, *streams]]


def mutated(count: int, seed: int) -> Iterator[Any]:
    """Yield bodies with one to four mutations each, going round the originals."""
    random = Random(seed)
    sources = originals()
    for number in range(count):
        body: Any = [orjson.loads(sources[number % len(sources)])]
        for _ in range(random.choice((1, 1, 2, 4))):
            mutate(body, random)
        yield body[0] if body else None

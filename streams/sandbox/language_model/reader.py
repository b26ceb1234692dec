"""What the language model has read and keeps: instructions and examples, so that a ticket costs only its own tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from streams.sandbox.language_model.engine import CELLS, Engine
from streams.sandbox.language_model.prompting import Form, LabelledText, Part
from streams.sandbox.model_server.codes import codes
from streams.sandbox.model_server.requests import RequestRefused

CONTEXT = 2048
"""The longest request in tokens, with the instructions, the examples and the answer."""

_SCRATCH = 0
"""The sequence of texts that are read without instructions; each of the others holds a prefix."""

_PREFIXES = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the cache the next tokens go, and whether what stands before them had been read already."""

    sequence: int
    start: int
    cached: bool = False


class Reader:
    """An engine and the prefixes in its cache. Belongs to one thread at a time, like the engine."""

    def __init__(self, engine: Engine, examples: Sequence[LabelledText], form: Form) -> None:
        self.engine = engine
        self.form = form
        self._examples = examples
        self._labels = tuple(sorted({example.label for example in examples}))
        self._prefixes: dict[tuple[str, bool], Place] = {}
        engine.forget_all()

    def tokens(self, parts: Sequence[Part]) -> list[int]:
        """Return the tokens of a prompt's parts."""
        spelled = (
            self.engine.tokens(part) if isinstance(part, str) else [self.engine.control(part.name)] for part in parts
        )
        return [token for tokens in spelled for token in tokens]

    @contextmanager
    def after_prefix(self, system: str, *, own: bool = True) -> Iterator[Place]:
        """Yield the place after these instructions and, with ``own``, the examples; what is read there is forgotten
        afterwards.

        Reads them first if they are not in the cache. Raises RequestRefused if they alone fill the context.
        """
        cached = (system, own) in self._prefixes
        place = self._prefixes[system, own] if cached else self._read_prefix(system, own=own)
        try:
            yield Place(place.sequence, place.start, cached)
        finally:
            self.engine.forget(place.sequence, place.start)

    @contextmanager
    def at_start(self) -> Iterator[Place]:
        """Yield a place before which there is nothing; what is read there is forgotten afterwards."""
        try:
            yield Place(_SCRATCH, 0)
        finally:
            self.engine.forget(_SCRATCH)

    def _read_prefix(self, system: str, *, own: bool) -> Place:
        words = dict(zip(self._labels, codes(system, self._labels), strict=True))
        shown = [LabelledText(example.text, words[example.label]) for example in self._examples if own]
        tokens = self.tokens(self.form.prefix(system, shown))
        check_room(len(tokens))
        taken = sum(place.start for place in self._prefixes.values())
        if len(self._prefixes) == _PREFIXES or taken + len(tokens) + CONTEXT > CELLS:
            # All of them: the cells of one from the middle would be no room in one piece for a longer one.
            self._prefixes.clear()
            self.engine.forget_all()
        place = Place(_SCRATCH + 1 + len(self._prefixes), len(tokens))
        self.engine.read(tokens, place.sequence, 0)
        self._prefixes[system, own] = place
        return place


def check_room(tokens: int) -> None:
    """Raise RequestRefused (400) if a request leaves no room in the context for an answer."""
    if tokens >= CONTEXT:
        raise RequestRefused(
            400,
            f"This model's maximum context length is {CONTEXT} tokens, but the request has {tokens} or more.",
            param="messages",
            code="context_length_exceeded",
        )

"""What is thrown at a topic: messages drawn from its schema, mutated ones, broken bytes. The same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz.generate import Generator
from benchmarks.fuzz.mutations import mutate
from schemas import TOPICS, Review
from schemas.export import FOLDER

#: Drawn messages that the mutated ones begin with.
_POOL = 200
_LONGEST_ORIGINAL = 20_000
_SPECIAL: tuple[bytes | None, ...] = (
    None, b"", b"\x00", b"\xff\xfe", b"null", b"[]", b"{}", b'""', b"0", b"NaN", b"{" * 5_000, b"[" * 5_000 + b"]" * 5_000,
    b'\xef\xbb\xbf{"ticket_id": "a", "text": "b"}', '{"ticket_id": "a", "text": "b"}'.encode("utf-16"),
    b'{"ticket_id": "a", "text": "\\ud800"}', b'{"v": 1e999, "ticket_id": "a", "text": "b"}', b'{"v": 9}',
    b'{"ticket_id": "a", "ticket_id": "b", "text": "twice"}', b'{"ticket_id": "a", "text": "b"} trailing',
)  # fmt: skip
#: Vectors of length one, which no schema can tell from other bytes.
_VECTORS = ("ADw=", "ALw=", "ZjrNuA==", "AAAAAAA8AAA=")
#: Longer than any text may be, and shorter than what the broker takes.
_LONG = 150_000


class Corpus:
    """The messages for one topic: a third drawn, a half mutated, the rest bytes that are wrong in some way."""

    def __init__(self, topic: str, seed: int) -> None:
        self._topic = TOPICS[topic]
        self._random = Random(f"{topic} {seed}")
        file: Path = FOLDER / f"{topic}.v{self._topic.message.VERSION}.json"
        self._generator = Generator(json.loads(file.read_text(encoding="utf-8")), self._random)
        drawn = (self._drawn(-number) for number in range(1, _POOL + 1))
        self._pool = [each for each in drawn if len(each) < _LONGEST_ORIGINAL]

    def messages(self, count: int) -> Iterator[bytes | None]:
        """Yield so many values."""
        for number in range(count):
            yield self._message(number)

    def key(self) -> bytes | None:
        """Return a key that may have nothing to do with the value."""
        return self._random.choice((None, b"", b"\xff\x00", self._random.randbytes(4), b"key"))

    def _message(self, number: int) -> bytes | None:
        random = self._random
        kind = random.random()
        if kind < 0.33:
            return self._drawn(number)
        if kind < 0.83:
            return self._mutated()
        return self._broken() if kind < 0.97 else self._special()

    def _drawn(self, number: int) -> bytes:
        value = self._generator.draw()
        self._name(value, number)
        return _dumps(value)

    def _name(self, value: dict[str, Any], number: int) -> None:
        """Give most messages an id of their own: those that share one are answered once."""
        if self._random.random() < 0.1:
            return
        for holder in (value, value.get("ticket")):
            if isinstance(holder, dict) and "ticket_id" in holder:
                holder["ticket_id"] = f"{self._topic.name}-{number}"
        for name in ("probe_id", "alert_id", "example_id"):
            if name in value:
                value[name] = f"{name}-{number}"
        if "vector" in value:
            value["vector"] = self._random.choice(_VECTORS)
        if self._topic.message is Review:
            value["review_id"] = Review.id_for(
                value["ticket"]["ticket_id"], value.get("revision", 0), value.get("run", 0)
            )

    def _mutated(self) -> bytes:
        random = self._random
        root: list[Any] = [json.loads(random.choice(self._pool))]
        for _ in range(random.choice((1, 1, 2, 4))):
            mutate(root, random)
        try:
            return _dumps(root[0] if root else None)
        except RecursionError:
            return b"[" * 10_000

    def _broken(self) -> bytes:
        random = self._random
        data = bytearray(random.choice(self._pool))
        for _ in range(random.choice((1, 1, 2, 8))):
            at = random.randrange(len(data)) if data else 0
            match random.randrange(6):
                case 0 if data:
                    data[at] = random.randrange(256)
                case 1 if data:
                    data[at] ^= 1 << random.randrange(8)
                case 2:
                    data[at:at] = random.randbytes(random.randrange(1, 9))
                case 3:
                    del data[at : at + random.randrange(1, 30)]
                case 4:
                    del data[at:]
                case 5:
                    other = random.choice(self._pool)
                    data[at:] = other[random.randrange(len(other)) :]
        return bytes(data)

    def _special(self) -> bytes | None:
        random = self._random
        if random.random() < 0.02:
            return json.dumps({"ticket_id": "long", "text": "x" * _LONG}).encode()
        return random.choice((*_SPECIAL, random.randbytes(random.randrange(200))))


def _dumps(value: Any) -> bytes:
    """Write what Python writes, NaN and lone surrogates included: so do real producers."""
    return json.dumps(value).encode()

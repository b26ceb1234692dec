"""What a worker makes of the records of the topic memory."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from benchmarks.fuzz.mutations import mutate
from schemas import Example
from streams.core.memory.vector_bytes import packed
from streams.embedding import minilm
from streams.memory.english_only import NOT_ENGLISH
from streams.memory.memory import Memory
from streams.worker.memory_follower import MemoryFollower
from tests.support.memories import Letters
from tests.support.messages import example, ticket
from tests.support.records import FakeRecord


async def known(name: str, text: str = "aab", **changes: Any) -> Example:
    [vector] = packed(await Letters().embed([text]))
    return example(name, text=text, vector=vector, **changes)


class Followed:
    """A memory that is filled from records, and what was counted."""

    def __init__(self, limit: int | None = None) -> None:
        self.memory = Memory(Letters(), 2, limit=limit)
        self.counts: dict[str, int] = {}
        self.follower = MemoryFollower(self.memory, self.count)

    def count(self, what: str, count: int) -> None:
        self.counts[what] = self.counts.get(what, 0) + count

    async def take(self, *records: tuple[str | bytes, bytes | None]) -> None:
        keys = [(key if isinstance(key, bytes) else key.encode()) for key, _ in records]
        await self.follower.take(
            [
                FakeRecord(offset, value, key=key)
                for offset, (key, (_, value)) in enumerate(zip(keys, records, strict=True))
            ]
        )


async def test_the_latest_record_of_a_key_counts() -> None:
    followed = Followed()
    one, two = await known("a"), await known("b")
    await followed.take(("a", one.encode()), ("b", two.encode()), ("a", None), ("a", one.encode()))
    assert len(followed.memory) == 2
    await followed.take(("a", None), ("nobody", None))
    assert len(followed.memory) == 1
    assert followed.counts == {"added": 2, "forgotten": 3}
    [found] = await followed.memory.recall([ticket("t", "aab")])
    assert [one.example.id for one in found.shown] == ["b"]


async def test_what_is_no_example_forgets_what_its_key_said_and_harms_nothing_else() -> None:
    followed = Followed()
    good = await known("a")
    await followed.take(("a", good.encode()), ("b", (await known("b")).encode()))
    with capture_logs() as logs:
        await followed.take(
            ("a", b"\x00 no json"),
            ("c", good.encode()),  # an example under another key
            (b"\xff", good.encode()),
            ("d", example("d").encode()),  # two dimensions
            ("e", b'{"v": 99}'),
        )
    assert followed.counts == {"added": 2, "invalid": 5}
    assert [log["event"] for log in logs] == ["a record of the memory is no example"] * 5
    assert len(followed.memory) == 1
    assert "no json" not in str(logs)


async def test_vectors_of_another_model_are_ignored_with_one_line() -> None:
    followed = Followed()
    other = await known("a", embedding_model="e5")
    with capture_logs() as logs:
        await followed.take(("a", other.encode()))
        await followed.take(("a", other.encode()), ("a2", other.model_copy(update={"example_id": "a2"}).encode()))
    assert followed.counts == {"other_model": 3}
    [line] = logs
    assert (line["found"], line["expected"]) == ("e5", "letters")
    assert "hedgerow memory rebuild" in line["event"]


async def test_beyond_the_limit_the_oldest_is_dropped_and_that_is_said_once() -> None:
    followed = Followed(limit=2)
    with capture_logs() as logs:
        for at_ms in (3, 1, 2, 4):
            await followed.take((f"e-{at_ms}", (await known(f"e-{at_ms}", at_ms=at_ms)).encode()))
    [found] = await followed.memory.recall([ticket("t", "aab")])
    assert len(followed.memory) == 2
    assert found.neighbour_share == 1.0
    assert followed.counts == {"added": 4, "dropped": 2}
    assert [log["event"] for log in logs] == [
        "memory.max_examples is reached: the oldest of the most crowded label is dropped"
    ]


@pytest.mark.parametrize(
    ("text", "said"), [("Wo ist mein Paket, bitte schnell senden", 1), ("Where is my parcel and when is it sent", 0)]
)
async def test_texts_that_do_not_look_english_are_named_once(
    text: str, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Letters, "model", minilm.MODEL)
    followed = Followed()
    rows = [await known(f"e-{number}", f"{text} {number}", embedding_model=minilm.MODEL) for number in range(40)]
    with capture_logs() as logs:
        for row in rows:
            await followed.take((row.example_id, row.encode()))
    assert [log["event"] for log in logs] == [NOT_ENGLISH.format(what="labelled tickets")] * said


async def test_a_model_that_makes_longer_vectors_than_the_memory_has_stops_the_worker() -> None:
    followed = Followed()
    await followed.take(("a", (await known("a")).encode()))

    async def longer(texts: object) -> Any:
        return np.ones((1, 5), dtype=np.float32)

    followed.memory.embedder.embed = longer  # type: ignore[method-assign]
    with pytest.raises(Exception, match="makes vectors of 5 dimensions, and those of the memory have 128"):
        await followed.memory.recall([ticket()])


async def test_a_record_that_meets_a_defect_keeps_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Followed()
    put = followed.memory.put

    async def picky(examples: Any, *more: Any) -> int:
        if any(one.id == "bad" for one in examples):
            raise RuntimeError("a defect")
        return await put(examples, *more)

    monkeypatch.setattr(followed.memory, "put", picky)
    with capture_logs() as logs:
        await followed.take(*[(name, (await known(name)).encode()) for name in ("a", "bad", "b")])
    assert followed.counts == {"added": 2, "invalid": 1}
    assert [log["problem"] for log in logs] == ["RuntimeError('a defect')"]


async def test_no_mutated_record_ends_the_following() -> None:
    followed = Followed()
    random = Random(5)
    rows = [json.loads((await known(f"e-{number}", label=label)).encode()) for number, label in enumerate(("a", None))]
    for number in range(400):
        body: list[Any] = [json.loads(json.dumps(rows[number % 2]))]
        for _ in range(random.choice((1, 2, 4))):
            mutate(body, random)
        try:
            value = json.dumps(body[0] if body else None).encode()
        except RecursionError:  # our own; that of the reader is what counts
            value = b"[" * 100_000
        await followed.take((f"e-{number % 2}", value))
    assert followed.counts["invalid"] > 100
    assert followed.counts["added"] > 20
    assert len(followed.memory) <= 2
    await followed.take(*[(row["example_id"], json.dumps(row).encode()) for row in rows])
    [found] = await followed.memory.recall([ticket("t", "aab")])
    assert (len(followed.memory), found.neighbour_share) == (2, 0.5)

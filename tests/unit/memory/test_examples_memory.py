from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from streams.aio import in_background
from streams.core.memory.example import Example
from streams.core.memory.index import Vectors
from streams.core.memory.recall import Recalled
from streams.core.signal import instructions
from streams.core.signal.instructions import ExampleRule, Prompt
from streams.core.signal.redaction import Redaction, redact
from streams.memory import memory as memory_module
from streams.memory.approximate_index import GrowingIndex
from streams.memory.memory import Memory
from tests.support.memories import Letters, memory_of
from tests.support.messages import ticket


async def test_each_ticket_gets_the_examples_most_like_it() -> None:
    memory = await memory_of({"aaa": "refund", "aab": "refund", "zzz": "account"}, shown=2)
    first, second = await memory.recall([ticket("1", "aaaa"), ticket("2", "zz")])
    assert [one.example.text for one in first.shown] == ["aab", "aaa"]
    assert first.neighbour_label == "refund"
    assert second.shown[-1].example.text == "zzz"
    assert second.shown[-1].similarity == pytest.approx(1.0)


async def test_a_ticket_is_embedded_as_a_model_sees_it() -> None:
    embedder = Letters()
    memory = await Memory.of([Example("e", None, "[email]", "refund")], embedder, 1, ("email",))
    await memory.recall([ticket("1", "ann@example.com")])
    assert embedder.embedded == ["[email]", "[email]"]


async def test_an_example_is_redacted_as_it_comes_and_not_for_each_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, redacted = Letters(), list[str]()

    def counted(text: str, kinds: Collection[Redaction]) -> str:
        redacted.append(text)
        return redact(text, kinds)

    monkeypatch.setattr(memory_module, "redact", counted)
    monkeypatch.setattr(instructions, "redact", counted)
    memory = Memory(embedder, 1, ("email",))
    given = "from ann@example.com"
    await memory.put([Example("e", None, given, "refund")], await embedder.embed([given]))
    prompt = Prompt(("refund", "other"), redact=("email",), examples=ExampleRule(1, embedder.model))
    for _ in range(3):
        [found] = await memory.recall([ticket("1", "from bob")])
        assert prompt.messages("from bob", found.shown)[1]["content"] == "from [email]"
    assert redacted.count(given) == 1
    assert redacted.count("from [email]") == 0


async def test_an_example_that_the_embedder_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    embed = Letters.embed

    async def refusing(self: Letters, texts: Sequence[str]) -> Vectors:
        vectors = await embed(self, texts)
        vectors[[place for place, text in enumerate(texts) if text == "odd"]] = 0.0
        return vectors

    monkeypatch.setattr(Letters, "embed", refusing)
    memory = await memory_of({"odd": "refund", "a": "refund", "b": "account"})
    assert len(memory) == 2
    known, odd = await memory.recall([ticket("1", "a"), ticket("2", "odd")])
    assert [one.example.text for one in known.shown] == ["b", "a"]
    assert odd == Recalled()


async def test_many_examples_and_tickets_are_embedded_in_steps() -> None:
    steps: list[int] = []
    examples = [Example(str(number), None, f"{number}", "refund") for number in range(600)]
    memory = await Memory.of(examples, Letters(), 1, progress=steps.append)
    assert steps == [256, 256, 88]
    found = await memory.recall([ticket(f"t-{number}", f"{number}") for number in range(600)])
    assert len(found) == 600
    assert found[123].novelty is not None


async def test_the_index_of_a_large_memory_is_built_while_examples_come_and_tickets_are_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, steps, built = GrowingIndex(exact=100), 0, asyncio.Event()
    loop, step = asyncio.get_running_loop(), index.grow

    def grow() -> bool:
        nonlocal steps
        steps += 1
        if not (more := step()) and not index.is_exact:
            loop.call_soon_threadsafe(built.set)
        return more

    monkeypatch.setattr(index, "grow", grow)
    monkeypatch.setattr(memory_module, "GrowingIndex", lambda: index)
    embedder = Letters()
    memory = Memory(embedder, 1)
    for start in range(0, 600, 200):
        some = [Example(str(number), None, f"{number:b}", "refund") for number in range(start, start + 200)]
        await memory.put(some, await embedder.embed([one.text for one in some]))
    assert (steps, index.is_exact) == (0, True), "no change waits for the index"
    async with in_background(memory.growing()):
        late = Example("late", None, "10zz", "account")
        await memory.put([late], await embedder.embed([late.text]))
        [found] = await memory.recall([ticket("t", "01zz")])
        assert [one.example.id for one in found.shown] == ["late"]
        async with asyncio.timeout(20):
            await built.wait()
    [found] = await memory.recall([ticket("t", "01zz")])
    assert [one.example.id for one in found.shown] == ["late"]
    assert not index.is_exact

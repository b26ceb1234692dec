from __future__ import annotations

import pytest

from streams.core.memory.example import Example
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


async def test_many_examples_and_tickets_are_embedded_in_steps() -> None:
    steps: list[int] = []
    examples = [Example(str(number), None, f"{number}", "refund") for number in range(600)]
    memory = await Memory.of(examples, Letters(), 1, progress=steps.append)
    assert steps == [256, 256, 88]
    found = await memory.recall([ticket(f"t-{number}", f"{number}") for number in range(600)])
    assert len(found) == 600
    assert found[123].novelty is not None

"""When a ticket is looked up, when what is known of it is enough, and when it waits."""

from __future__ import annotations

import asyncio

import pytest

from schemas import Call, Ticket
from streams.agents import remembering
from streams.agents.remembering import Remembering
from streams.core.memory.recall import Recalled
from streams.errors import Hold, TryAgain
from tests.support.messages import call, ticket

KNOWN, LOOKED_UP = Recalled(novelty=0.1), Recalled(novelty=0.2)


class Memory:
    """Answers if ``answers``; ``size`` is compared with 8."""

    def __init__(self) -> None:
        self.answers = True
        self.size = 10
        self.tried = 0
        self.how: list[str] = []
        self.remembering = Remembering(
            self.before, self.look_up, self.try_out, is_small=lambda: self.size < 8, looked_up=self.how.append
        )

    def before(self, _: Ticket, before: Call) -> Recalled | None:
        return None if before.novelty is None else KNOWN

    async def look_up(self, _: Ticket) -> Recalled:
        if not self.answers:
            raise TryAgain("no answer")
        return LOOKED_UP

    async def try_out(self) -> None:
        self.tried += 1
        if self.tried < 3:
            raise TryAgain("no answer")
        self.answers = True


async def test_what_an_earlier_call_says_is_not_looked_up_again() -> None:
    memory = Memory()
    memory.answers = False
    assert await memory.remembering.recall(ticket(), call(novelty=0.1)) == KNOWN
    memory.answers = True
    assert await memory.remembering.recall(ticket(), call()) == LOOKED_UP
    assert await memory.remembering.recall(ticket(), None) == LOOKED_UP
    assert memory.how == ["carried", "embedded", "embedded"]


async def test_tickets_wait_while_the_embedder_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembering, "LOOK_EVERY_S", 0.0)
    memory = Memory()
    memory.answers = False
    with pytest.raises(Hold) as held:
        await memory.remembering.recall(ticket(), None)
    assert memory.remembering.silent.reached()
    memory.answers = True
    with pytest.raises(Hold):  # nobody asks until a trial was answered
        await memory.remembering.recall(ticket(), None)
    async with asyncio.timeout(30):
        await held.value.over()
    assert memory.tried == 3
    assert not memory.remembering.silent.reached()
    assert await memory.remembering.recall(ticket(), None) == LOOKED_UP


async def test_tickets_wait_while_the_memory_is_too_small_even_those_that_are_known() -> None:
    memory = Memory()
    memory.size = 7
    with pytest.raises(Hold, match="memory"):
        await memory.remembering.recall(ticket(), call(novelty=0.1))
    assert [limit.name for limit in memory.remembering.limits if limit.reached()] == ["memory"]
    memory.size = 8
    assert await memory.remembering.recall(ticket(), None) == LOOKED_UP

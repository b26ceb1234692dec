"""Look-ups that come one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas import Ticket
from streams.core.memory.recall import Recalled
from streams.memory.lookups import Lookups
from tests.support.memories import memory_of
from tests.support.messages import ticket

TICKETS = [ticket(f"t-{number}", f"text {number}") for number in range(40)]


class Slow:
    """A memory that answers when it is let go, and keeps the sizes of what it was asked."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.free = asyncio.Event()
        self.fails = False

    async def recall(self, tickets: Sequence[Ticket]) -> list[Recalled]:
        self.sizes.append(len(tickets))
        await self.free.wait()
        if self.fails:
            raise RuntimeError("broken")
        return [Recalled(novelty=float(one.text.split()[1]) / 100) for one in tickets]


async def test_each_ticket_gets_its_own_answer_and_what_waits_is_one_batch() -> None:
    slow = Slow()
    lookups = Lookups(slow)  # type: ignore[arg-type]
    first = asyncio.create_task(lookups.recall(TICKETS[0]))
    while not slow.sizes:
        await asyncio.sleep(0)
    others = [asyncio.create_task(lookups.recall(one)) for one in TICKETS[1:]]
    await asyncio.sleep(0)
    slow.free.set()
    found = [await task for task in (first, *others)]
    assert [one.novelty for one in found] == [number / 100 for number in range(40)]
    assert slow.sizes == [1, 16, 16, 7]
    assert (await lookups.recall(TICKETS[3])).novelty == 0.03


async def test_a_failure_belongs_to_its_batch_alone() -> None:
    slow = Slow()
    slow.fails = True
    slow.free.set()
    lookups = Lookups(slow)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="broken"):
        await lookups.recall(TICKETS[0])
    slow.fails = False
    assert (await lookups.recall(TICKETS[1])).novelty == 0.01


async def test_a_ticket_that_gave_up_waiting_holds_nobody_up() -> None:
    slow = Slow()
    lookups = Lookups(slow)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(lookups.recall(one)) for one in TICKETS[:3]]
    while not slow.sizes:
        await asyncio.sleep(0)
    tasks[0].cancel()
    slow.free.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert [(await task).novelty for task in tasks[1:]] == [0.01, 0.02]


async def test_it_says_what_the_memory_says() -> None:
    memory = await memory_of({"text 1": "refund", "text 2": "account"})
    assert await Lookups(memory).recall(TICKETS[1]) == (await memory.recall([TICKETS[1]]))[0]

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
    """A memory that answers when it is let go, and keeps what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[Ticket]] = []
        self.free = asyncio.Event()
        self.fails = False

    async def recall(self, tickets: Sequence[Ticket]) -> list[Recalled]:
        self.batches.append(list(tickets))
        await self.free.wait()
        if self.fails:
            raise RuntimeError("broken")
        return [Recalled(novelty=float(one.text.split()[1]) / 100) for one in tickets]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


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


async def test_what_is_of_like_length_goes_together_and_the_oldest_always_goes() -> None:
    slow = Slow()
    lookups = Lookups(slow)  # type: ignore[arg-type]
    first = asyncio.create_task(lookups.recall(TICKETS[0]))
    while not slow.batches:
        await asyncio.sleep(0)
    # A long one that has waited longest, then by turns short and long ones: 20 and 20.
    mixed = [ticket(f"m-{number}", f"text {number} " + "word " * (100 if number % 2 else 1)) for number in range(1, 41)]
    others = [asyncio.create_task(lookups.recall(one)) for one in mixed]
    await asyncio.sleep(0)
    slow.free.set()
    found = [await task for task in (first, *others)]
    assert [one.novelty for one in found] == [number / 100 for number in range(41)]
    long, short = mixed[::2], mixed[1::2]
    assert [[one.ticket_id for one in batch] for batch in slow.batches[1:3]] == [
        [one.ticket_id for one in some[:16]] for some in (long, short)
    ]
    # What is left is one batch, by the oldest: long ones, then the rest.
    assert [one.ticket_id for one in slow.batches[3]] == [one.ticket_id for one in (*long[16:], *short[16:])]


async def test_of_long_texts_the_length_that_is_read_counts() -> None:
    slow = Slow()
    lookups = Lookups(slow)  # type: ignore[arg-type]
    first = asyncio.create_task(lookups.recall(TICKETS[0]))
    while not slow.batches:
        await asyncio.sleep(0)
    texts = ["x" * 2_000, *["y" * 1_900] * 16, *["z" * 9_000] * 15]
    others = [
        asyncio.create_task(lookups.recall(ticket(f"m-{at}", f"text {at} {text}"))) for at, text in enumerate(texts)
    ]
    await asyncio.sleep(0)
    slow.free.set()
    await asyncio.gather(first, *others)
    assert [one.text[-1] for one in slow.batches[1]] == ["x", *"z" * 15]


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

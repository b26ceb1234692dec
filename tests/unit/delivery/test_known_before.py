"""Step 4 for a stage that knows messages from before its assignment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from schemas import Message
from streams.agents.arrival import Arrival
from streams.agents.known_tickets import KnownTickets
from streams.delivery.ledger import Ledger
from streams.delivery.stage import Record
from streams.errors import StopWorker
from tests.support.messages import ticket
from tests.support.records import P0, Bench, FakeRecord, loop_turns, verdict


def record(offset: int, ticket_id: str, text: str = "x") -> FakeRecord:
    return FakeRecord(offset, ticket(ticket_id, text).encode(), ticket_id.encode(), timestamp=1_000 + offset)


class Topic:
    """What stands on the topic before the assignment."""

    def __init__(self, *records: FakeRecord) -> None:
        self.records = records
        self.fails: StopWorker | None = None

    async def __call__(self, before: Mapping[tuple[str, int], int], limit: int) -> AsyncIterator[Record]:
        if self.fails is not None:
            raise self.fails
        for one in self.records:
            if one.offset < before[P0]:
                yield one


class Texts:
    """Answers each ticket, and keeps the texts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, arrival: Arrival) -> Sequence[Message]:
        self.seen.append(f"{arrival.ticket_id} {arrival.ticket.text}")
        return [verdict(arrival.ticket_id)]


def bench(topic: Topic, ledger: Ledger | None = None) -> tuple[Bench, Texts]:
    known, texts = KnownTickets(100, topic), Texts()
    more = {"read": Arrival.read, "finished": known, "id_of": known.id_of, "memory": known}
    made = Bench(texts, more=more, assigned=False)
    made.assign(ledger)
    return made, texts


async def test_step_4_recall_knows_what_stood_before_the_assignment() -> None:
    made, texts = bench(Topic(record(0, "a"), record(1, "b", "old")))
    await made.run([record(5, "a"), record(6, "b", "new"), record(7, "c"), record(8, "b", "new")])
    assert texts.seen == ["b new", "c x"]
    assert made.tally.counts["duplicate"] == 2
    assert made.low == 9


async def test_step_4_recall_knows_what_is_finished_beyond_the_committed_offset() -> None:
    made, texts = bench(Topic(), Ledger(5, [6, 7]))
    await made.run([record(5, "a"), record(6, "b"), record(7, "c"), record(8, "b"), record(9, "c", "other")])
    assert texts.seen == ["a x", "c other"]
    assert made.tally.counts["duplicate"] == 1
    assert made.tally.counts["finished_before"] == 2


async def test_step_4_recall_handles_a_text_again_that_ended_as_a_dead_letter() -> None:
    made, texts = bench(Topic())

    async def fails(arrival: Arrival) -> Sequence[Message]:
        await texts(arrival)
        raise ValueError("a defect")

    object.__setattr__(made.runner.stage, "handler", fails)
    await made.run([record(0, "a"), record(1, "a")])
    assert texts.seen == ["a x", "a x"]


async def test_a_worker_that_cannot_read_what_was_before_ends() -> None:
    topic = Topic()
    made, texts = bench(topic)
    topic.fails = StopWorker("no broker")
    await made.feed([record(5, "a")])
    assert (made.stops, texts.seen) == ([topic.fails], [])


@pytest.mark.parametrize("turns", range(20))
async def test_texts_of_a_ticket_are_handled_in_their_order_whenever_the_next_one_comes(turns: int) -> None:
    made, texts = bench(Topic())
    release = asyncio.Event()

    async def waits(arrival: Arrival) -> Sequence[Message]:
        await release.wait()
        return await texts(arrival)

    object.__setattr__(made.runner.stage, "handler", waits)
    await made.feed([record(0, "a", "first"), record(1, "a", "second"), record(2, "a", "third")])
    await loop_turns()
    release.set()
    await loop_turns(turns)
    await made.run([record(3, "a", "fourth")])
    assert texts.seen == ["a first", "a second", "a third", "a fourth"]

"""A stage that remembers: when the runner lets its memory forget, and when it lets it catch up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from schemas import TOPICS, Message, Ticket
from streams.delivery.assignment import Assignment, Partition
from streams.delivery.batch_runner import BatchRunner
from streams.delivery.ledger import Ledger
from streams.delivery.stage import Stage
from streams.delivery.task_runner import TaskRunner
from streams.errors import StopWorker
from tests.support.records import P0, P1, FakeSender, answer, records, verdict


class Diary:
    """A handler and its memory, which write down what happens to them."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.may_catch_up = asyncio.Event()
        self.may_catch_up.set()
        self.error: BaseException | None = None

    def __call__(self, ticket: Ticket) -> Sequence[Message]:
        self.entries.append(ticket.ticket_id)
        return [verdict(ticket.ticket_id)]

    def forget(self) -> None:
        self.entries.append("forget")

    async def catch_up(self, before: Mapping[Partition, int]) -> None:
        self.entries.append({partition: offset for (_, partition), offset in before.items()})
        await self.may_catch_up.wait()
        if self.error is not None:
            raise self.error


class Stand:
    """A runner over two partitions."""

    def __init__(self) -> None:
        self.diary = Diary()
        self.sender = FakeSender()
        self.stops: list[StopWorker] = []
        stage = Stage("test", TOPICS["tickets"], self.diary, once=False, memory=self.diary)
        self.runner = BatchRunner(stage, self.sender, stop=self.stops.append)

    def assign(self, *starts: int) -> None:
        self.runner.begin(Assignment(dict(zip((P0, P1), map(Ledger, starts), strict=False))))

    async def run(self, offsets: range, partition: int = 0) -> None:
        place = (P0, P1)[partition]
        await self.runner.run(self.runner.accept(place, records(offsets, partition)))

    def written(self) -> list[object]:
        entries, self.diary.entries = self.diary.entries, []
        return entries


async def test_it_catches_up_before_the_first_record_of_each_partition_and_only_then() -> None:
    stand = Stand()
    stand.assign(5, 0)
    await stand.run(range(5, 7))
    await stand.run(range(7, 8))
    await stand.run(range(1), partition=1)
    assert stand.written() == ["forget", {0: 5}, "0-5", "0-6", "0-7", {1: 0}, "1-0"]


async def test_every_assignment_begins_anew() -> None:
    stand = Stand()
    stand.assign(5)
    await stand.run(range(5, 7))
    stand.assign(7)
    await stand.run(range(7, 8))
    assert stand.written() == ["forget", {0: 5}, "0-5", "0-6", "forget", {0: 7}, "0-7"]


async def test_a_long_batch_is_caught_up_with_once() -> None:
    stand = Stand()
    stand.assign(0)
    await stand.run(range(1000))
    assert [entry for entry in stand.written() if not isinstance(entry, str)] == [{0: 0}]


async def test_an_assignment_that_ends_while_it_catches_up_leaves_no_trace() -> None:
    stand = Stand()
    stand.assign(5)
    stand.diary.may_catch_up.clear()
    batch = asyncio.create_task(stand.run(range(5, 7)))
    while stand.diary.entries[-1] != {0: 5}:
        await asyncio.sleep(0)
    stand.runner.end()
    stand.assign(6)  # another worker has handled 5 meanwhile
    stand.diary.may_catch_up.set()
    await batch
    assert stand.sender.sent == []
    await stand.run(range(6, 8))
    assert stand.written() == ["forget", {0: 5}, "forget", {0: 6}, "0-6", "0-7"]
    assert stand.sender.ticket_ids == ["0-6", "0-7"]


async def test_a_memory_that_cannot_be_rebuilt_stops_the_worker_and_nothing_is_handled() -> None:
    stand = Stand()
    stand.assign(5)
    stand.diary.error = StopWorker("no broker answers")
    await stand.run(range(5, 7))
    assert [str(stop) for stop in stand.stops] == ["no broker answers"]
    assert stand.written() == ["forget", {0: 5}]
    assert stand.sender.sent == []


@pytest.mark.parametrize("error", [ValueError("a defect"), asyncio.CancelledError()])
@pytest.mark.parametrize("kind", [TaskRunner, BatchRunner])
async def test_a_worker_stops_whatever_its_memory_raises(
    kind: type[TaskRunner | BatchRunner], error: BaseException
) -> None:
    """A library's own cancellation is such an error: whoever called would go on, without these records."""
    diary, stops = Diary(), list[StopWorker]()
    diary.error = error
    stage = Stage("test", TOPICS["tickets"], answer if kind is TaskRunner else diary, memory=diary)
    runner = kind(stage, FakeSender(), stop=stops.append)
    runner.begin(Assignment({P0: Ledger(5)}))
    await runner.run(runner.accept(P0, records(range(5, 7))))
    assert [str(stop) for stop in stops] == [f"delivery failed: {error!r}"]


async def test_a_stage_that_is_cancelled_while_it_catches_up_stops_no_worker() -> None:
    diary, stops = Diary(), list[StopWorker]()
    diary.may_catch_up.clear()
    runner = TaskRunner(Stage("test", TOPICS["tickets"], answer, memory=diary), FakeSender(), stop=stops.append)
    runner.begin(Assignment({P0: Ledger(5)}))
    running = asyncio.create_task(runner.run(runner.accept(P0, records(range(5, 7)))))
    while {0: 5} not in diary.entries:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stops == []

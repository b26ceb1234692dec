"""Records, a sender and an observer that tests of the delivery module control."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas import TOPICS, DeadLetter, Message, Ticket, Verdict
from streams.delivery.assignment import Assignment, Partition
from streams.delivery.ledger import Ledger
from streams.delivery.observer import Observer
from streams.delivery.service import runner_type
from streams.delivery.stage import AsyncHandler, Stage, SyncHandler
from streams.errors import GiveUp, StopWorker
from streams.kafka.outbox import Refused

TICKETS = "tickets"
P0: Partition = (TICKETS, 0)
P1: Partition = (TICKETS, 1)


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """One fetched record."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    topic: str = TICKETS
    partition: int = 0
    timestamp: int = 1_700_000_000_000
    headers: tuple[tuple[str, bytes | None], ...] = ()


def record(offset: int, ticket_id: str | None = None, partition: int = 0) -> FakeRecord:
    """A valid ticket; its id is ``partition-offset`` unless given."""
    name = f"{partition}-{offset}" if ticket_id is None else ticket_id
    return FakeRecord(offset, Ticket(ticket_id=name, text="hello").encode(), name.encode(), partition=partition)


def records(offsets: Iterable[int], partition: int = 0) -> list[FakeRecord]:
    """Valid tickets at these offsets."""
    return [record(offset, partition=partition) for offset in offsets]


def verdict(ticket_id: str) -> Verdict:
    """An output that tells which ticket it came from."""
    return Verdict(
        verdict_id=f"v-{ticket_id}", review_id="r", ticket_id=ticket_id, label="a", decided_by="test", at_ms=0
    )


async def answer(ticket: Ticket) -> Sequence[Message]:
    """The plainest handler that calls out."""
    return [verdict(ticket.ticket_id)]


def compute(ticket: Ticket) -> Sequence[Message]:
    """The plainest handler that only computes."""
    return [verdict(ticket.ticket_id)]


@dataclass
class FakeBatch:
    """One of a producer's batches, with room for so many messages."""

    room: int = 10_000
    messages: list[tuple[bytes, bytes]] = field(default_factory=list)

    def append(self, *, timestamp: None, key: bytes, value: bytes) -> object | None:
        del timestamp
        if len(self.messages) == self.room:
            return None
        self.messages.append((key, value))
        return object()


class FakeSender:
    """Takes outputs in memory; ``acknowledge`` is the broker's answer, ``refusals`` are raised one per call, oldest first."""

    final = True

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.calls: list[list[Message]] = []
        self.calls_apart = 0
        self.refusals: deque[Exception] = deque()
        self.refuse: Callable[[Message], Exception | None] = lambda _: None
        self.acknowledge = asyncio.Event()
        self.acknowledge.set()
        self.called = asyncio.Event()

    async def send(self, messages: Sequence[Message]) -> None:
        self.calls.append(list(messages))
        self.called.set()
        await self.acknowledge.wait()
        refusals = [self.refusals.popleft()] if self.refusals else [self.refuse(message) for message in messages]
        for refusal in filter(None, refusals):
            if isinstance(refusal, GiveUp) and not isinstance(refusal, Refused):
                raise Refused(str(refusal), messages, refusal.reason)
            raise refusal
        self.sent.extend(messages)

    async def send_apart(self, messages: Sequence[Message]) -> None:
        self.calls_apart += 1
        await self.send(messages)

    @property
    def ticket_ids(self) -> list[str]:
        return [message.ticket_id for message in self.sent if isinstance(message, Verdict)]

    @property
    def letters(self) -> list[DeadLetter]:
        return [message for message in self.sent if isinstance(message, DeadLetter)]


class Tally(Observer):
    """Counts what delivery reports."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.most_in_flight = 0

    def handled(self, agent: str, outputs: Sequence[Message], seconds: float) -> None:
        self.counts["handled"] += 1
        self.counts["outputs"] += len(outputs)

    def dead_lettered(self, agent: str, letter: DeadLetter) -> None:
        self.counts[f"letter {letter.reason}"] += 1

    def retried(self, agent: str, reason: str) -> None:
        self.counts[f"retried {reason}"] += 1

    def skipped(self, agent: str, why: str, count: int) -> None:
        self.counts[why] += count

    def in_flight(self, agent: str, count: int, queued: int) -> None:
        self.most_in_flight = max(self.most_in_flight, count)


@dataclass
class Bench:
    """A runner with everything around it in the test's hands; partition 0 of ``tickets`` is assigned."""

    handler: AsyncHandler | SyncHandler
    in_flight: int = 128
    deadline_s: float = 60.0
    attempts: int = 3
    once: bool = True
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the stage."""
    assigned: bool = True
    sender: FakeSender = field(default_factory=FakeSender)
    tally: Tally = field(default_factory=Tally)
    stops: list[StopWorker] = field(default_factory=list)
    observer: Observer | None = None
    """Hears what the tally would."""

    def __post_init__(self) -> None:
        stage = Stage(
            "test",
            TOPICS["tickets"],
            self.handler,
            in_flight=self.in_flight,
            deadline_s=self.deadline_s,
            attempts=self.attempts,
            once=self.once,
            **self.more,
        )
        self.runner = runner_type(stage)(
            stage,
            self.sender,
            stop=self.stops.append,
            observer=self.observer or self.tally,
            finished=stage.finished,
            wall_ms=lambda: 1234,
        )
        self.ledger = Ledger()
        if self.assigned:
            self.assign()

    def assign(self, ledger: Ledger | None = None, partition: Partition = P0) -> Ledger:
        """Begin an assignment of one partition with this ledger."""
        self.ledger = Ledger() if ledger is None else ledger
        self.begin({partition: self.ledger})
        return self.ledger

    def begin(self, ledgers: Mapping[Partition, Ledger]) -> None:
        """Begin an assignment with these ledgers."""
        self.runner.begin(Assignment(ledgers))

    def revoke(self) -> None:
        """What the driver does when partitions are revoked and time is up."""
        self.runner.leave()
        self.runner.end()

    async def feed(self, batch: Sequence[FakeRecord], partition: Partition = P0) -> None:
        """Take one batch and run it, as driver and agent do."""
        await self.runner.run(self.runner.accept(partition, batch))

    async def run(self, batch: Sequence[FakeRecord]) -> None:
        """Feed one batch and wait until all of it is done."""
        await self.feed(batch)
        await self.runner.wait_idle(10)

    @property
    def low(self) -> int | None:
        return self.ledger.low


async def loop_turns(count: int = 30) -> None:
    """Let everything that can run now run: for asserting that something does not happen."""
    for _ in range(count):
        await asyncio.sleep(0)


class Held:
    """A handler that waits for permission per ticket; ``begun`` counts the calls."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self._free: dict[str, asyncio.Event] = {}
        self.everything = False

    async def __call__(self, ticket: Ticket) -> Sequence[Message]:
        self.begun[ticket.ticket_id] += 1
        self.changed.set()
        if not self.everything:
            await self._event(ticket.ticket_id).wait()
        return [verdict(ticket.ticket_id)]

    def release(self, *ticket_ids: str) -> None:
        for ticket_id in ticket_ids:
            self._event(ticket_id).set()

    def release_all(self) -> None:
        self.everything = True
        for event in self._free.values():
            event.set()

    async def wait_begun(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.begun.total() < count:
                self.changed.clear()
                await self.changed.wait()

    def _event(self, ticket_id: str) -> asyncio.Event:
        return self._free.setdefault(ticket_id, asyncio.Event())


async def until(condition: Callable[[], bool], change: Callable[[], Awaitable[None]]) -> None:
    """Wait for a condition, woken by ``change``, thirty seconds at most."""
    async with asyncio.timeout(30):
        while not condition():
            await change()

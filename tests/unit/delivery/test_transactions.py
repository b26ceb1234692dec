"""One transaction after another, against a producer and coordinators that the test answers for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from streams.delivery import transactions as module
from streams.delivery.ledger import Commit
from streams.delivery.transactions import Member, Transactions
from streams.errors import StopWorker
from streams.kafka.outbox import TransactionLost
from tests.support.records import loop_turns

MEMBER = Member("group", 5, "me")
COMMITS = {("tickets", 0): Commit(7, "h1")}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)


class FakeProducer:
    """An aiokafka producer as far as Transactions uses it; ``codes`` are the coordinators' next error codes, 0 after them."""

    def __init__(self, transactional_id: str) -> None:
        self.codes: list[int | KafkaError] = []
        self.steps: list[str] = []
        self.refusal: BaseException | None = None
        self.fatal = False
        self.silent = False
        self.added: list[str] = []
        self._txn_manager = SimpleNamespace(
            transactional_id=transactional_id,
            producer_id=3,
            producer_epoch=1,
            consumer_group_added=self.added.append,
            is_fatal_error=lambda: self.fatal,
        )
        self._sender = SimpleNamespace(
            _find_coordinator=self._find, _coordinator_dead=lambda kind: self.steps.append("dead"), client=self
        )

    async def _find(self, kind: Any, key: str) -> int:
        self.steps.append(f"{'group' if kind == CoordinationType.GROUP else 'transaction'} {key}")
        return 1

    async def send(self, node: int, request: Any, group: Any) -> Any:
        if self.silent:
            await asyncio.Event().wait()
        code = self.codes.pop(0) if self.codes else 0
        if isinstance(code, KafkaError):
            raise code
        struct = request.prepare({25: (0, 3), 28: (0, 3)})
        self.steps.append(type(struct).__name__)
        return SimpleNamespace(error_code=code, topics=[("tickets", [(0, code, {})], {})])

    async def begin_transaction(self) -> None:
        self.steps.append("begin")

    async def commit_transaction(self) -> None:
        self.steps.append("commit")
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal


class World:
    """Transactions that have begun, and every producer that was started or stopped."""

    def __init__(self) -> None:
        self.started: list[FakeProducer] = []
        self.stopped: list[FakeProducer] = []
        self.transactions = Transactions("group", self.start, self.stop)  # type: ignore[arg-type]

    async def start(self, transactional_id: str) -> FakeProducer:
        self.started.append(FakeProducer(transactional_id))
        return self.started[-1]

    async def stop(self, producer: FakeProducer) -> None:
        self.stopped.append(producer)

    async def commit(self, member: Member = MEMBER, wait_s: float = 10) -> None:
        await self.transactions.commit(member, COMMITS, wait_s)

    @property
    def producer(self) -> FakeProducer:
        return self.started[-1]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.transactions.begin()
    return world


async def test_offsets_then_commit_then_the_next(world: World) -> None:
    await world.commit()
    name = world.transactions.transactional_id
    assert world.producer.steps == [
        "begin",
        f"transaction {name}",
        "AddOffsetsToTxnRequest_v0",
        "group group",
        "TxnOffsetCommitRequest_v3",
        "commit",
        "begin",
    ]
    assert world.producer.added == ["group"]


async def test_every_start_has_an_id_of_its_own_that_begins_with_the_groups_name() -> None:
    """So that nobody has to name workers, and a rule by prefix can allow all ids of a stage."""
    names = {Transactions("p.classify", World().start, World().stop).transactional_id for _ in range(10)}  # type: ignore[arg-type]
    assert len(names) == 10
    assert all(name.startswith("p.classify-") for name in names)


@pytest.mark.parametrize("busy", [51, 14, 15, 16, KafkaConnectionError("gone")])
async def test_a_coordinator_that_is_busy_or_moves_is_asked_again(world: World, busy: int | KafkaError) -> None:
    world.producer.codes = [busy, 0, busy, 0]
    await world.commit()
    assert world.producer.steps.count("dead") == 2
    assert world.producer.steps[-2:] == ["commit", "begin"]


@pytest.mark.parametrize("error", [IllegalGenerationError(), UnknownMemberIdError()])
async def test_a_changed_generation_loses_the_transaction(world: World, error: Any) -> None:
    world.producer.codes = [0, error.errno]
    with pytest.raises(TransactionLost, match=type(error).__name__):
        await world.commit()
    assert "commit" not in world.producer.steps
    with pytest.raises(TransactionLost):
        world.transactions.producer()


@pytest.mark.parametrize("member", [Member("group", -1, "me"), Member("group", 5, "")])
async def test_offsets_without_a_member_or_a_generation_are_not_offered(world: World, member: Member) -> None:
    """The broker would take them from anybody."""
    with pytest.raises(TransactionLost):
        await world.commit(member)
    assert world.producer.steps == ["begin"]


async def test_a_fenced_producer_loses_the_transaction_and_another_one_begins_under_the_same_id(world: World) -> None:
    first = world.producer
    first.refusal = ProducerFenced()
    with pytest.raises(TransactionLost, match="ProducerFenced"):
        await world.commit()
    await world.transactions.begin()
    await loop_turns()
    assert world.stopped == [first]
    assert world.transactions.producer() is world.producer is not first  # type: ignore[comparison-overlap]
    assert len({producer._txn_manager.transactional_id for producer in world.started}) == 1
    await world.commit()


async def test_a_producer_that_died_meanwhile_is_not_asked_to_commit(world: World) -> None:
    world.producer.fatal = True
    with pytest.raises(TransactionLost):
        await world.commit()
    assert "commit" not in world.producer.steps


async def test_a_broker_that_does_not_answer_in_time_loses_the_transaction(world: World) -> None:
    world.producer.silent = True
    with pytest.raises(TransactionLost, match="did not answer in time"):
        await world.commit(wait_s=0.01)


async def test_a_right_too_few_stops_the_worker_with_its_name(world: World) -> None:
    world.producer.refusal = TopicAuthorizationFailedError("routed")
    with pytest.raises(StopWorker, match=r"TopicAuthorizationFailedError: .*routed"):
        await world.commit()


async def test_a_broker_with_little_room_for_metadata_stops_the_worker(world: World) -> None:
    """Offsets alone would not say what is finished beyond them: the next owner would do it again."""
    world.producer.codes = [0, 12]
    with pytest.raises(StopWorker, match=r"offset\.metadata\.max\.bytes"):
        await world.commit()


async def test_a_commit_that_is_cancelled_half_way_loses_the_transaction(world: World) -> None:
    world.producer.silent = True
    committing = asyncio.create_task(world.commit())
    await loop_turns()
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    with pytest.raises(TransactionLost):
        world.transactions.producer()


async def test_two_commits_follow_one_another(world: World) -> None:
    await asyncio.gather(world.commit(), world.commit())
    assert [step for step in world.producer.steps if step in {"commit", "begin"}] == ["begin"] + ["commit", "begin"] * 2


async def test_a_part_that_another_producer_took_is_lost(world: World) -> None:
    before: Any = world.producer
    assert world.transactions.producer(before) is before
    await world.transactions.broken(before)
    with pytest.raises(TransactionLost):
        world.transactions.producer(before)
    await world.transactions.begin()
    with pytest.raises(TransactionLost):
        world.transactions.producer(before)
    await world.transactions.broken(before)  # it was found broken again, later: the present one is not
    world.transactions.producer()


async def test_beginning_twice_begins_once_and_stopping_stops_all(world: World) -> None:
    await asyncio.gather(world.transactions.begin(), world.transactions.begin())
    assert len(world.started) == 1
    world.transactions.lose()
    await world.transactions.begin()
    await world.transactions.stop()
    assert set(world.stopped) == set(world.started)

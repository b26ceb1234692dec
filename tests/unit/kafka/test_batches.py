"""Many messages at once: a batch for each partition, every message in one, refusals only for whom they concern."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, ProducerClosed, TopicAuthorizationFailedError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from schemas import Message
from streams.kafka import outbox as outbox_module
from streams.kafka.batches import MANY, Parcel, begin
from streams.kafka.outbox import Outbox
from streams.kafka.plain_line import PlainLine
from tests.support.records import FakeBatch, verdict

PARTITIONS = {"p.routed": 3, "p.escalations": 2}


class FakeProducer:
    """Keeps what it is given; ``refuses`` by topic at once, ``fails`` a batch of a place in its acknowledgement, once."""

    def __init__(self, room: int = 10_000) -> None:
        self.room = room
        self._closed = False
        self.alone: list[tuple[str, bytes]] = []
        self.batches: list[tuple[str, int, FakeBatch]] = []
        self.unknown: Mapping[str, KafkaError] = {}
        self.refuses: Mapping[tuple[str, int], KafkaError] = {}
        self.fails: dict[tuple[str, int], KafkaError] = {}

    @staticmethod
    def answered(error: KafkaError | None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        return future

    async def send(self, topic: str, *, key: bytes, value: bytes) -> asyncio.Future[None]:
        del value
        self.alone.append((topic, key))
        return self.answered(None)

    async def partitions_for(self, topic: str) -> set[int]:
        if topic in self.unknown:
            raise self.unknown[topic]
        return set(range(PARTITIONS.get(topic, 1)))

    def create_batch(self) -> FakeBatch:
        return FakeBatch(self.room)

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> asyncio.Future[None]:
        if (topic, partition) in self.refuses:
            raise self.refuses[topic, partition]
        self.batches.append((topic, partition, batch))
        return self.answered(self.fails.pop((topic, partition), None))

    @property
    def sent(self) -> list[tuple[str, bytes]]:
        together = [(topic, key) for topic, _, batch in self.batches for key, _ in batch.messages]
        return self.alone + together


def parcel(topic: str, key: bytes, value: bytes = b"v") -> Parcel:
    return Parcel(verdict("any"), topic, key, value)


def parcels(count: int, topic: str = "p.routed") -> list[Parcel]:
    return [parcel(topic, f"t-{number}".encode()) for number in range(count)]


def partition_of(sent: Parcel) -> int:
    partitions = list(range(PARTITIONS[sent.topic]))
    return int(DefaultPartitioner()(sent.key, partitions, partitions))


async def begun(producer: FakeProducer, wanted: Sequence[Parcel]) -> list[Any]:
    return list(await begin(producer, wanted))


async def test_a_few_go_one_by_one() -> None:
    producer = FakeProducer()
    await begun(producer, parcels(MANY - 1))
    assert len(producer.alone) == MANY - 1
    assert not producer.batches


async def test_many_go_in_one_batch_for_each_partition() -> None:
    producer = FakeProducer()
    wanted = parcels(100) + parcels(100, "p.escalations")
    await begun(producer, wanted)
    assert not producer.alone
    assert Counter((topic, partition) for topic, partition, _ in producer.batches) == Counter(
        [("p.routed", 0), ("p.routed", 1), ("p.routed", 2), ("p.escalations", 0), ("p.escalations", 1)]
    )
    for topic, partition, batch in producer.batches:
        keys = [each.key for each in wanted if each.topic == topic and partition_of(each) == partition]
        assert [key for key, _ in batch.messages] == keys, "the producer's own partition, in order"


@given(
    st.lists(st.tuples(st.sampled_from(sorted(PARTITIONS)), st.binary(max_size=9)), max_size=200), st.integers(1, 40)
)
async def test_every_message_goes_once_however_small_the_batches(rows: list[tuple[str, bytes]], room: int) -> None:
    producer = FakeProducer(room)
    acknowledgements = await begun(producer, [parcel(topic, key) for topic, key in rows])
    assert len(acknowledgements) == len(rows)
    assert Counter(producer.sent) == Counter(rows)


async def test_a_large_message_goes_by_itself() -> None:
    producer = FakeProducer()
    large = parcel("p.routed", b"large", b"x" * 100_000)
    await begun(producer, [*parcels(MANY), large])
    assert producer.alone == [("p.routed", b"large")]
    assert len(producer.sent) == MANY + 1


async def test_a_batch_that_waited_until_its_producer_was_closed_is_refused() -> None:
    """aiokafka takes it all the same, and nobody would ever send it."""
    producer = FakeProducer()
    producer._closed = True
    assert all(isinstance(answer, ProducerClosed) for answer in await begun(producer, parcels(MANY)))


async def test_a_topic_that_is_refused_is_refused_for_its_own_messages() -> None:
    producer = FakeProducer()
    producer.unknown = {"p.routed": TopicAuthorizationFailedError("p.routed")}
    answers = await begun(producer, parcels(MANY) + parcels(3, "p.escalations"))
    assert all(isinstance(answer, TopicAuthorizationFailedError) for answer in answers[:MANY])
    assert not any(isinstance(answer, KafkaError) for answer in answers[MANY:])


async def test_a_batch_that_is_refused_is_refused_for_its_own_messages() -> None:
    producer = FakeProducer()
    producer.refuses = {("p.routed", 1): KafkaConnectionError()}
    wanted = parcels(MANY)
    answers = await begun(producer, wanted)
    assert [isinstance(answer, KafkaError) for answer in answers] == [partition_of(each) == 1 for each in wanted]


async def test_an_outbox_sends_again_what_was_in_the_batch_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_SHORTEST_PAUSE_S", 0.0)
    producer = FakeProducer()
    messages: list[Message] = [verdict(f"t-{number}") for number in range(MANY)]
    topic = "p.verdicts"
    producer.fails = {(topic, 0): KafkaConnectionError("away")}
    retried: list[str] = []
    await Outbox(PlainLine(producer), "p.", retried.append).send(messages)
    assert retried == ["KafkaConnectionError"]
    assert [len(batch.messages) for *_, batch in producer.batches] == [MANY, MANY], "the same messages twice"

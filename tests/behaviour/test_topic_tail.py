"""The end of a topic: what was sent and never committed is there for who asks for it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from aiokafka import AIOKafkaProducer

from schemas import TOPICS, Verdict
from streams.kafka import tail as module
from streams.kafka.connection import Connection
from streams.kafka.producers import start_producer
from streams.kafka.readers import decode
from streams.kafka.tail import tail
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.ports import ReservedPort
from tests.support.messages import verdict
from tests.support.stages import Topics, topics_on


async def ticket_ids(topics: Topics, *, committed: bool) -> list[str]:
    records = await tail(["verdicts"], topics.connection(), prefix=topics.prefix, committed=committed)
    messages = [decode(record, topics.prefix) for record in records]
    return sorted(message.ticket_id for message in messages if isinstance(message, Verdict))


async def send(producer: AIOKafkaProducer, topics: Topics, ids: Iterable[str]) -> None:
    topic = TOPICS["verdicts"]
    for name in ids:
        message = verdict(name)
        await producer.send_and_wait(topics.prefix + topic.name, message.encode(), key=topic.key_of(message))


async def test_the_last_records_of_each_partition_are_there(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 4)
    async with topics_on(broker, partitions=2) as topics:
        assert await ticket_ids(topics, committed=True) == []
        producer = await start_producer(topics.connection())
        try:
            await send(producer, topics, map(str, range(20)))
        finally:
            await producer.stop()
        records = await tail(["verdicts"], topics.connection(), prefix=topics.prefix, committed=True)
        by_partition = [[record.offset for record in records if record.partition == number] for number in (0, 1)]
        ends = [sorted(offsets)[-1] for offsets in by_partition]
        # A fetch has whole batches, which may begin a little earlier.
        assert all(end - 1 in offsets and end in offsets for end, offsets in zip(ends, by_partition, strict=True))
        assert sum(end + 1 for end in ends) == 20
        monkeypatch.setattr(module, "_MOST_BYTES", sum(len(record.value) for record in records) - 1)
        fewer = await tail(["verdicts"], topics.connection(), prefix=topics.prefix, committed=True)
        assert len(records) - 2 <= len(fewer) < len(records)


@pytest.mark.kafka
async def test_an_open_transaction_is_seen_by_who_does_not_ask_for_committed_messages(kafka_broker: LocalKafka) -> None:
    async with topics_on(kafka_broker, partitions=2) as topics:
        producer = await start_producer(topics.connection(), transactional_id=f"{topics.prefix}tail")
        try:
            async with producer.transaction():
                await send(producer, topics, ["a"])
            await producer.begin_transaction()
            await send(producer, topics, ["b", "c"])
            assert await ticket_ids(topics, committed=False) == ["a", "b", "c"]
            assert await ticket_ids(topics, committed=True) == ["a"]
            await producer.abort_transaction()
            assert await ticket_ids(topics, committed=False) == ["a", "b", "c"]
            assert await ticket_ids(topics, committed=True) == ["a"]
        finally:
            await producer.stop()


async def test_nobody_waits_for_a_broker_that_is_not_there() -> None:
    with ReservedPort() as port:
        nowhere = Connection(f"127.0.0.1:{port.number}")
        assert not await tail(["verdicts"], nowhere, prefix="", committed=True)

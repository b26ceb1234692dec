"""Reading one record by its offset, and up to the last record there is, on both brokers."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from streams.errors import StopWorker
from streams.kafka import records
from streams.kafka.consumers import start_consumer
from streams.kafka.records import record_at, to_the_last
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.kafka import LocalKafka
from tests.support.stages import topics_on


async def test_a_record_is_found_at_its_offset_and_nowhere_else(broker: Broker) -> None:
    async with topics_on(broker, partitions=1) as topics:
        await topics.produce([f"t-{number}" for number in range(50)])
        place = TopicPartition(f"{topics.prefix}tickets", 0)
        consumer = await start_consumer(topics.connection())
        try:
            for offset in (49, 0, 17, 17):
                found = await record_at(consumer, place, offset)
                assert found is not None
                assert (found.offset, found.key) == (offset, f"t-{offset}".encode())
            assert await record_at(consumer, place, 50) is None
            assert await record_at(consumer, place, 5_000) is None
        finally:
            await consumer.stop()


async def test_every_record_from_an_offset_on_is_read(broker: Broker) -> None:
    async with topics_on(broker, partitions=2) as topics:
        await topics.produce([f"t-{number}" for number in range(300)], partition=0)
        starts = {TopicPartition(f"{topics.prefix}tickets", number): start for number, start in ((0, 120), (1, 0))}
        consumer = await start_consumer(topics.connection())
        try:
            for _ in range(2):
                found = [record.offset async for record in to_the_last(consumer, starts)]
                assert found == list(range(120, 300))
        finally:
            await consumer.stop()


@pytest.mark.kafka
async def test_a_transaction_that_stays_open_is_named_after_a_while(
    kafka_broker: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PATIENCE_S", 0.5)
    async with topics_on(kafka_broker, partitions=1) as topics:
        topic = f"{topics.prefix}tickets"
        producer = AIOKafkaProducer(bootstrap_servers=kafka_broker.bootstrap, transactional_id=f"{topics.prefix}open")
        await producer.start()
        consumer = await start_consumer(topics.connection())
        try:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"value", b"key")
            with pytest.raises(StopWorker, match=f"{topic} cannot be read to the end: a transaction on it stays open"):
                [record async for record in to_the_last(consumer, {TopicPartition(topic, 0): 0})]
            with pytest.raises(StopWorker, match=f"{topic}/0/0 cannot be read now"):
                await record_at(consumer, TopicPartition(topic, 0), 0)
            await producer.abort_transaction()
            assert [record async for record in to_the_last(consumer, {TopicPartition(topic, 0): 0})] == []
        finally:
            await consumer.stop()
            await producer.stop()

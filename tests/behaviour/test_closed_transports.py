"""Connections that are closed under a Kafka client, on the event loop that workers run on."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka import history
from streams.kafka.client_security import ClientSecurity
from streams.kafka.connection import Connection
from streams.kafka.consumers import start_consumer
from streams.kafka.diagnosis import dial
from streams.sandbox.brokers.embedded import EmbeddedBroker
from tests.support.stages import topics_on


def test_a_send_on_a_closed_transport_is_an_error_that_aiokafka_knows() -> None:
    async def send() -> None:
        async with EmbeddedBroker() as broker:
            connection = await dial(broker.bootstrap, ClientSecurity())
            await _close(connection)
            with pytest.raises(KafkaConnectionError, match="closed"):
                await connection.send(MetadataRequest([]))
            assert not connection.connected()

    uvloop.run(send())


def test_a_consumer_reads_on_whose_connections_are_closed_again_and_again() -> None:
    async def read() -> list[int]:
        async with EmbeddedBroker() as broker, topics_on(broker, partitions=1) as topics:
            await topics.produce([str(number) for number in range(300)], partition=0)
            consumer = await start_consumer(topics.connection())
            _close_every_second_time(consumer._client)
            try:
                return await _offsets(consumer, topics.prefix + "tickets", 300)
            finally:
                await consumer.stop()

    assert uvloop.run(read()) == list(range(300))


def test_history_is_whole_though_its_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka lets a cancellation out if a consumer stops while a fetch waits to be tried again; no caller may see that."""

    async def start_with_closures(connection: Connection) -> AIOKafkaConsumer:
        consumer = await start_consumer(connection)
        _close_every_second_time(consumer._client)
        return consumer

    async def read() -> list[list[int]]:
        async with EmbeddedBroker() as broker, topics_on(broker, partitions=1) as topics:
            await topics.produce([str(number) for number in range(300)], partition=0)
            before = {(topics.prefix + "tickets", 0): 300}
            return [
                [record.offset async for record in history.history(topics.connection(), before, 300)] for _ in range(5)
            ]

    monkeypatch.setattr(history, "start_consumer", start_with_closures)
    assert uvloop.run(read()) == [list(range(300))] * 5


def _close_every_second_time(client: Any) -> None:
    """Close the connection to a node just before something is sent there, every second time."""
    ready, times = client.ready, itertools.count()

    async def ready_and_closed(node: int, *, group: Any = ConnectionGroup.DEFAULT) -> bool:
        is_ready: bool = await ready(node, group=group)
        if is_ready and next(times) % 2 == 0:
            await _close(client._conns[(node, group)])
        return is_ready

    client.ready = ready_and_closed


async def _offsets(consumer: AIOKafkaConsumer, topic: str, count: int) -> list[int]:
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    offsets: list[int] = []
    while len(offsets) < count:
        consumer.seek(partition, len(offsets))  # drops what was fetched ahead, so that it is asked for again
        for records in (await consumer.getmany(timeout_ms=1000, max_records=60)).values():
            offsets += [record.offset for record in records]
    return offsets


async def _close(connection: AIOKafkaConnection) -> None:
    """Close it, and return in the moment in which aiokafka does not know it yet."""
    if connection._writer is not None:
        connection._writer.transport.abort()
        await asyncio.sleep(0)

"""A partition whose leader has moved, on Apache Kafka: its first offset is asked for where the leader is now."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition

from streams.delivery.faust_consumer import follow_leaders
from streams.demo.run import local_connection
from streams.kafka.consumers import start_consumer
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.kafka import LocalKafka
from tests.support.brokers import require_kafka


@pytest.mark.kafka
async def test_the_first_offset_is_found_although_the_leader_is_not_where_it_was() -> None:
    require_kafka()
    async with LocalKafka(3) as cluster:
        connection = local_connection(cluster)
        await create_topics(connection, prefix="moved.", partitions=1, replication=1)
        consumer = await start_consumer(connection)
        try:
            partition = TopicPartition("moved.tickets", 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            follow_leaders(consumer)
            known = consumer._client.cluster._partitions["moved.tickets"]
            known[0] = known[0]._replace(leader=(known[0].leader + 1) % 3)  # as if it had moved since
            async with asyncio.timeout(60.0):
                await consumer.seek_to_beginning(partition)
                assert await consumer.position(partition) == 0
        finally:
            await consumer.stop()

"""How far a consumer group has come, without joining it."""

from __future__ import annotations

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.consumers import stop_consumer
from streams.kafka.diagnosis import refusal


async def committed(
    group: str, partitions: Collection[TopicPartition], connection: Connection
) -> dict[TopicPartition, int | None]:
    """Return the first offset of each partition that a group has not finished; None if it has not finished any.

    Raises StopWorker if the broker does not tell.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=connection.bootstrap, group_id=group, enable_auto_commit=False, **connection.client_options
    )
    try:
        await consumer.start()
        consumer.assign(list(partitions))
        return {partition: await consumer.committed(partition) for partition in partitions}
    except (KafkaError, OSError) as error:
        refused = refusal(error, connection.security)
        raise StopWorker(refused or f"how far {group} has come is not known: {error!r}") from error
    finally:
        await stop_consumer(consumer)

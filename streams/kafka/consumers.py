"""Consumers: how one is started, and stopped."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams.aio import is_cancelled
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import unreachable


async def start_consumer(connection: Connection) -> AIOKafkaConsumer:
    """Return a started consumer of no group, to be assigned; raises StopWorker if there is no broker."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=connection.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
        **connection.client_options,
    )
    await start(consumer, connection)
    await asyncio.sleep(0)  # a task of its that has not begun yet would raise CancelledError out of stop()
    return consumer


async def start(consumer: AIOKafkaConsumer, connection: Connection) -> None:
    """Start a consumer; one that does not start is stopped. Raises StopWorker if there is no broker."""
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await stop_consumer(consumer)
        raise await unreachable(connection.bootstrap, connection.security, error) from error
    except asyncio.CancelledError:
        await consumer.stop()  # else asyncio says later that it is unclosed
        raise


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer.

    aiokafka lets the cancellation of a fetch of its own out if its broker is unavailable then: that is not the caller's.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        await consumer._client.close()

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
    return consumer


async def start(consumer: AIOKafkaConsumer, connection: Connection) -> None:
    """Start a consumer; one that does not start is stopped. Raises StopWorker if there is no broker."""
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await stop_consumer(consumer)
        raise await unreachable(connection.bootstrap, connection.security, error) from error
    except asyncio.CancelledError:
        await stop_consumer(consumer)  # else asyncio says later that it is unclosed
        raise


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer.

    If its broker is unavailable, aiokafka's ``stop`` can raise the CancelledError of one of its own fetches: the caller was not
    cancelled.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await close_client(consumer)
        if is_cancelled():
            raise


async def close_client(consumer: AIOKafkaConsumer) -> None:
    """Close the connections of a consumer whose stop came to no end, and end what would connect again."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    left = [
        coordinator and getattr(coordinator, "_heartbeat_task", None),  # one of no group has none
        coordinator and getattr(coordinator, "_commit_refresh_task", None),
        fetcher and fetcher._fetch_task,
    ]
    for task in filter(None, left):
        task.cancel()
    await consumer._client.close()

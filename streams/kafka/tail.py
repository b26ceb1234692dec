"""The last records of topics, also those that no consumer of committed messages sees."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.readers import batches_to_the_end, reader

log = structlog.get_logger(__name__)

_MOST = 4_000
_MOST_BYTES = 32 * 1024 * 1024
_PATIENCE_S = 5.0


async def tail(
    topics: Collection[str], connection: Connection, *, prefix: str, committed: bool
) -> Sequence[ConsumerRecord]:
    """Return ``last_records``, or none if the broker refuses or does not answer in time: the caller can do without them."""
    try:
        return await last_records(topics, connection, prefix=prefix, committed=committed)
    except (KafkaError, StopWorker, OSError) as away:
        log.info(
            "what was handed on last cannot be read, so some calls may be paid again",
            topics=sorted(topics),
            why=repr(away),
        )
        return ()


async def last_records(
    topics: Collection[str], connection: Connection, *, prefix: str, committed: bool
) -> Sequence[ConsumerRecord]:
    """Return the last 4,000 records of these topics, as many of each partition; with ``committed`` only committed ones.

    Of large ones there are fewer: the values of all are at most 32 MiB. Raises StopWorker, KafkaError or OSError of a broker
    that is unavailable or refuses, TimeoutError of one that does not answer within 5 seconds.
    """
    async with (
        asyncio.timeout(_PATIENCE_S),
        reader(sorted(topics), connection, prefix=prefix, committed=committed) as consumer,
    ):
        partitions = list(consumer.assignment())
        ends, first = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
        for partition, end in ends.items():
            consumer.seek(partition, max(first[partition], end - _MOST // len(partitions)))
        found: deque[ConsumerRecord] = deque()
        size = 0
        async for records in batches_to_the_end(consumer):
            for record in records:
                found.append(record)
                size += len(record.value or b"")
                while size > _MOST_BYTES:
                    size -= len(found.popleft().value or b"")
        return found

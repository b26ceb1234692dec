"""The last records of topics, also those that no consumer of committed messages sees."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.readers import batches_to_the_end, reader

log = structlog.get_logger(__name__)

_MOST = 4_000
_PATIENCE_S = 5.0


async def tail(
    topics: Collection[str], connection: Connection, *, prefix: str, committed: bool
) -> list[ConsumerRecord]:
    """Return the last 4,000 records of these topics, as many of each partition; with ``committed`` only committed ones.

    Who asks can do without: of a broker that refuses, or does not answer within 5 seconds, there are none, and the log says so.
    """
    try:
        async with (
            asyncio.timeout(_PATIENCE_S),
            reader(sorted(topics), connection, prefix=prefix, committed=committed) as consumer,
        ):
            partitions = list(consumer.assignment())
            ends, first = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
            for partition, end in ends.items():
                consumer.seek(partition, max(first[partition], end - _MOST // len(partitions)))
            return [record async for records in batches_to_the_end(consumer) for record in records]
    except (KafkaError, StopWorker, TimeoutError) as away:
        log.info(
            "what was handed on last cannot be read, so some calls may be paid again",
            topics=sorted(topics),
            why=repr(away),
        )
        return []

"""Whether records wait to be read: asked over a separate connection, which a consumer that hangs has no part in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.consumers import start_consumer, stop_consumer

#: A record that is there comes at once; without one the broker answers after 100 ms.
_FETCH_MS = 500


async def records_waiting(
    connection: Connection, positions: Mapping[tuple[str, int], int | None], wait_s: float = 10.0
) -> int | None:
    """Return how many records there are from these offsets on, at least; None if the broker does not answer.

    An offset of None is the beginning. A record is read, because neither the end of a log nor a high-water mark says that
    there is one: transaction markers count there too, and the embedded broker names another end.
    """
    try:
        async with asyncio.timeout(wait_s):
            return await _read(connection, {TopicPartition(*place): offset for place, offset in positions.items()})
    except (KafkaError, OSError, StopWorker, TimeoutError):
        return None


async def _read(connection: Connection, positions: Mapping[TopicPartition, int | None]) -> int:
    consumer = await start_consumer(connection)
    try:
        if not positions:
            return 0
        consumer.assign(list(positions))
        unknown = [partition for partition, offset in positions.items() if offset is None]
        begins = await consumer.beginning_offsets(unknown) if unknown else {}
        known = {partition: begins[partition] if offset is None else offset for partition, offset in positions.items()}
        for partition, offset in known.items():
            consumer.seek(partition, offset)
        found = await consumer.getmany(timeout_ms=_FETCH_MS)
        return sum(max(len(records), (consumer.highwater(at) or 0) - known[at]) for at, records in found.items())
    finally:
        await stop_consumer(consumer)

"""What a topic held before some offsets: read again by an agent that remembers, outside its consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import stamina
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import unreachable

#: The number of records handled at once, so that the event loop has its turn in between.
_CHUNK = 200
_PATIENCE_S = 60.0


async def history(
    connection: Connection,
    before: Mapping[tuple[str, int], int],
    limit: int,
    since: Mapping[tuple[str, int], int] | None = None,
) -> AsyncIterator[ConsumerRecord]:
    """Yield the records of each (topic, partition) before its offset, in order: the last ``limit`` offsets of each.

    Of those that ``since`` names, all from that offset on are yielded instead.

    An unavailable broker is waited for, a minute at most; then StopWorker is raised. The caller knows that there is a
    record at the offset, or it would not ask; so the end is found without asking the broker where it is.
    """
    ends = {TopicPartition(*place): offset for place, offset in before.items() if offset > 0}
    if not ends:
        return
    consumer = await _patiently_started(connection)
    try:
        consumer.assign(list(ends))
        first = await consumer.beginning_offsets(list(ends))
        for partition, end in ends.items():
            begin = (since or {}).get((partition.topic, partition.partition), end - limit)
            consumer.seek(partition, max(first[partition], begin))
        while unread := [partition for partition, end in ends.items() if await consumer.position(partition) < end]:
            for partition, records in (await consumer.getmany(*unread, timeout_ms=200, max_records=_CHUNK)).items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield record
    finally:
        await consumer.stop()


async def _patiently_started(connection: Connection) -> AIOKafkaConsumer:
    async for attempt in stamina.retry_context(on=StopWorker, attempts=None, timeout=_PATIENCE_S, wait_max=5.0):
        with attempt:
            return await start_consumer(connection)
    raise AssertionError("stamina ends in a return or an error")


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
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise await unreachable(connection.bootstrap, connection.security, error) from error
    except asyncio.CancelledError:
        await consumer.stop()  # else asyncio says later that it is unclosed
        raise
    await asyncio.sleep(0)  # a task of its that has not begun yet would raise CancelledError out of stop()
    return consumer

"""What a topic held before some offsets: read again by an agent that remembers, outside its consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import stamina
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.consumers import start_consumer, stop_consumer
from streams.kafka.diagnosis import refusal

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

    An unavailable broker is waited for, a minute at most; then StopWorker is raised, as it is for one that refuses. The
    caller knows that there is a record at the offset, or it would not ask; so the end is found without asking the broker
    where it is.
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
    except KafkaError as error:
        refused = refusal(error, connection.security)
        raise StopWorker(refused or f"what came before cannot be read again: {error!r}") from error
    finally:
        await stop_consumer(consumer)


async def _patiently_started(connection: Connection) -> AIOKafkaConsumer:
    async for attempt in stamina.retry_context(on=StopWorker, attempts=None, timeout=_PATIENCE_S, wait_max=5.0):
        with attempt:
            return await start_consumer(connection)
    raise AssertionError("stamina ends in a return or an error")

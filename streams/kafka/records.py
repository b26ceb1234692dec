"""Single records, and everything up to a topic's true end: what an operator's commands read before they send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.errors import StopWorker

#: How long an open transaction is waited for: Kafka aborts that of a dead worker within its time-out and ten seconds.
PATIENCE_S = 60.0
_FETCH_MS = 200


async def to_the_last(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]
) -> AsyncIterator[ConsumerRecord]:
    """Yield the committed records of these partitions from their offsets on, up to the last one that is there now.

    Those behind an open transaction are among them, which ``to_the_end`` leaves out. Raises StopWorker if one stays open
    for ``PATIENCE_S``.
    """
    consumer.assign(list(starts))
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
    ends: dict[TopicPartition, int] = {}
    now = asyncio.get_running_loop().time
    until = now() + PATIENCE_S
    while True:
        for partition in starts.keys() - ends.keys():
            if (end := consumer.highwater(partition)) is not None:
                ends[partition] = end
        unread = [each for each in starts if each not in ends or await consumer.position(each) < ends[each]]
        if not unread:
            return
        fetched = await consumer.getmany(*unread, timeout_ms=_FETCH_MS)
        if fetched:
            until = now() + PATIENCE_S
        elif now() > until:
            names = ", ".join(sorted({each.topic for each in unread}))
            raise StopWorker(f"{names} cannot be read to the end: a transaction on it stays open; try again later")
        for records in fetched.values():
            for record in records:
                yield record


async def record_at(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> ConsumerRecord | None:
    """Return the record at an offset, or None if there is none any more; raises StopWorker if the broker does not say."""
    consumer.assign([partition])
    consumer.seek(partition, offset)
    now = asyncio.get_running_loop().time
    until = now() + PATIENCE_S
    while now() < until:
        for records in (await consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=1)).values():
            # An offset that was deleted is read from the first one that is left; compaction leaves gaps.
            return next((record for record in records if record.offset == offset), None)
        end = consumer.highwater(partition)
        if end is not None and offset >= end:
            return None
    raise StopWorker(f"{partition.topic}/{partition.partition}/{offset} cannot be read now; try again later")

"""Reads topics from the beginning, outside any consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from schemas import TOPICS, InvalidMessage, Message, topic_for
from streams.errors import SettingsError
from streams.files import suggestion
from streams.kafka.connection import Connection
from streams.kafka.consumers import start, stop_consumer
from streams.kafka.topics import require_topics

M = TypeVar("M", bound=Message)


@asynccontextmanager
async def reader(
    topics: Sequence[str], connection: Connection, *, prefix: str = "", latest: bool = False, committed: bool = True
) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer of these topics, from the beginning, or from the end with ``latest``.

    Without ``committed`` it reads the messages of aborted and open transactions too. Raises SettingsError
    for a topic that Hedgerow does not have, StopWorker if the broker cannot be reached or does not have one of the topics.
    """
    for topic in topics:
        if topic not in TOPICS:
            raise SettingsError(f"no topic {topic!r}: there are {', '.join(TOPICS)}{suggestion(topic, TOPICS)}")
    await require_topics(connection, prefix, topics)
    consumer = AIOKafkaConsumer(
        *(prefix + topic for topic in topics),
        bootstrap_servers=connection.bootstrap,
        auto_offset_reset="latest" if latest else "earliest",
        enable_auto_commit=False,
        isolation_level="read_committed" if committed else "read_uncommitted",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        **connection.client_options,
    )
    await start(consumer, connection)
    try:
        yield consumer
    finally:
        await stop_consumer(consumer)


async def to_the_end(consumer: AIOKafkaConsumer) -> AsyncIterator[ConsumerRecord]:
    """Yield every record that is there when the reading begins, and what comes in the same fetch."""
    async for records in batches_to_the_end(consumer):
        for record in records:
            yield record


async def batches_to_the_end(
    consumer: AIOKafkaConsumer, max_records: int | None = None
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield what ``to_the_end`` does in batches, ``max_records`` at most in each."""
    # The embedded broker names the last batch's first offset + 1 as the end; a batch is always read whole.
    ends = await consumer.end_offsets(list(consumer.assignment()))
    while any([await consumer.position(partition) < end for partition, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=100, max_records=max_records)).values():
            yield records


async def messages_there(kind: type[M], connection: Connection, *, prefix: str) -> AsyncIterator[M]:
    """Yield the messages that are on the topic of their kind now, without those that are not valid; raises as ``reader``."""
    async with reader([topic_for(kind).name], connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            if isinstance(message := decode(record, prefix), kind):
                yield message


def decode(record: ConsumerRecord, prefix: str) -> Message | None:
    """Return the record's message, or None if it is not a valid one."""
    topic = TOPICS[record.topic.removeprefix(prefix)]
    try:
        return topic.message.decode(record.value)
    except InvalidMessage:
        return None

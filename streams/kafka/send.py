"""Sends messages from outside a worker, such as the decisions of a reviewer, or probes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from schemas import NEWEST, Message, WireFormat, topic_of
from streams.kafka.connection import Connection
from streams.kafka.outbox import Outbox
from streams.kafka.plain_line import PlainLine
from streams.kafka.producers import start_producer, stop_producer
from streams.kafka.topics import require_topics


async def publish(
    messages: Sequence[Message], connection: Connection, *, prefix: str = "", wire: WireFormat = NEWEST
) -> None:
    """Send the messages and wait until the broker has all of them.

    Raises StopWorker if it cannot be reached or does not have one of the topics.
    """
    await require_topics(connection, prefix, {topic_of(message).name for message in messages})
    producer = await start_producer(connection)
    try:
        await Outbox(PlainLine(producer), prefix, wire=wire).send(messages)
    finally:
        await producer.stop()


@asynccontextmanager
async def open_outbox(connection: Connection, *, prefix: str = "", wire: WireFormat = NEWEST) -> AsyncIterator[Outbox]:
    """Yield an outbox for many messages over a long time; raises StopWorker if the broker cannot be reached."""
    line = PlainLine(await start_producer(connection), partial(start_producer, connection), stop_producer)
    try:
        yield Outbox(line, prefix, wire=wire)
    finally:
        await line.stop()

"""Sends a few messages from outside a worker, such as the decisions of a person."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import Message
from streams.delivery.outbox import Outbox
from streams.delivery.service import Connection, start_producer


async def publish(messages: Sequence[Message], connection: Connection, *, prefix: str = "") -> None:
    """Send the messages and wait until the broker has all of them; raises StopWorker where it cannot be reached."""
    producer = await start_producer(connection)
    try:
        await Outbox(producer, prefix).send(messages)
    finally:
        await producer.stop()

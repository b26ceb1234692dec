"""Sends rows to the tickets topic, as they are: the agents make dead letters of invalid rows.

``hedgerow produce`` judges rows before it sends them (``streams/kafka/ticket_rows.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas import TOPICS, bytes_of
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.producers import start_producer
from streams.kafka.topics import require_topics

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Sent:
    """One row on the topic; ``partition`` is None if the broker refused it for its size."""

    row: int
    ticket_id: str | None
    partition: int | None
    offset: int | None


def ticket_id_of(line: bytes) -> str | None:
    """Return the row's ticket_id, or None if it has none that can be read."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    ticket_id = row.get("ticket_id") if isinstance(row, dict) else None
    return ticket_id if isinstance(ticket_id, str) and ticket_id else None


async def produce(lines: Iterable[bytes], connection: Connection, *, prefix: str = "") -> list[Sent]:
    """Send every line, valid or not, and return where each one is.

    Raises StopWorker if the broker cannot be reached or refuses to take any.
    """
    sent: list[Sent] = []
    await produce_rows(enumerate(lines), connection, prefix=prefix, done=sent.extend)
    return sent


async def produce_rows(
    rows: Iterable[tuple[int, bytes]], connection: Connection, *, prefix: str, done: Callable[[Sequence[Sent]], None]
) -> None:
    """Send rows that have numbers; ``done`` is called with a few hundred at a time, in order, as the broker has them.

    Raises StopWorker if the broker cannot be reached, has no such topic, or refuses to take any.
    """
    await require_topics(connection, prefix, [TOPICS["tickets"].name])
    producer = await start_producer(connection)
    waiting = iter(rows)
    try:
        while chunk := list(islice(waiting, _CHUNK)):
            done(await asyncio.gather(*(_send_one(producer, prefix, row, line) for row, line in chunk)))
    finally:
        await producer.stop()


async def _send_one(producer: AIOKafkaProducer, prefix: str, row: int, line: bytes) -> Sent:
    ticket_id = ticket_id_of(line)
    key = None if ticket_id is None else bytes_of(ticket_id)
    try:
        at = await producer.send_and_wait(prefix + TOPICS["tickets"].name, key=key, value=line)
    except MessageSizeTooLargeError:
        return Sent(row, ticket_id, None, None)
    except KafkaError as error:
        raise StopWorker(f"the broker does not take tickets: {type(error).__name__}: {error}") from error
    return Sent(row, ticket_id, at.partition, at.offset)

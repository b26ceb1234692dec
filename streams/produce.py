"""Sends ticket rows to the tickets topic, as they are: what is no valid ticket ends in the dead letters with its reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas import TOPICS
from streams.delivery.connection import Connection
from streams.delivery.producers import start_producer
from streams.errors import StopWorker

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Sent:
    """One row on the topic; ``partition`` is None where the broker refused it for its size."""

    row: int
    ticket_id: str | None
    partition: int | None
    offset: int | None


def ticket_id_of(line: bytes) -> str | None:
    """Return the row's ticket_id, or None where it has none that can be read."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    ticket_id = row.get("ticket_id") if isinstance(row, dict) else None
    return ticket_id if isinstance(ticket_id, str) and ticket_id else None


async def produce(
    lines: Iterable[bytes],
    connection: Connection,
    *,
    prefix: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> list[Sent]:
    """Send every line and return where each one is; ``progress`` is told how many were sent since it was last told.

    Raises StopWorker where the broker cannot be reached or refuses to take any.
    """
    producer = await start_producer(connection)
    sent: list[Sent] = []
    try:
        chunk: list[tuple[int, bytes]] = []
        for row, line in enumerate(lines):
            chunk.append((row, line))
            if len(chunk) == _CHUNK:
                sent += await _send(producer, prefix, chunk)
                progress(len(chunk))
                chunk = []
        sent += await _send(producer, prefix, chunk)
        progress(len(chunk))
    finally:
        await producer.stop()
    return sent


async def _send(producer: AIOKafkaProducer, prefix: str, chunk: list[tuple[int, bytes]]) -> list[Sent]:
    return list(await asyncio.gather(*(_send_one(producer, prefix, row, line) for row, line in chunk)))


async def _send_one(producer: AIOKafkaProducer, prefix: str, row: int, line: bytes) -> Sent:
    ticket_id = ticket_id_of(line)
    key = None if ticket_id is None else ticket_id.encode("utf-8", "surrogatepass")
    try:
        at = await producer.send_and_wait(prefix + TOPICS["tickets"].name, key=key, value=line)
    except MessageSizeTooLargeError:
        return Sent(row, ticket_id, None, None)
    except KafkaError as error:
        raise StopWorker(f"the broker does not take tickets: {type(error).__name__}: {error}") from error
    return Sent(row, ticket_id, at.partition, at.offset)

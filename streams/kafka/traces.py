"""What the topics hold of one ticket, and the records without a value that make the compacted ones forget it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson
from aiokafka import ConsumerRecord

from schemas import (
    Classification,
    DeadLetter,
    Escalation,
    Example,
    Message,
    Review,
    Ticket,
    bytes_of,
)
from schemas.headers import FORGOTTEN_BY_HEADER
from streams.kafka.connection import Connection
from streams.kafka.letter_book import ticket_of
from streams.kafka.producers import start_producer, stop_producer
from streams.kafka.readers import decode, reader, to_the_end
from streams.kafka.records import PATIENCE_S

#: The topics that hold anything of a ticket, most of them under its id.
OF_TICKETS = ("tickets", "classifications", "escalations", "routed", "reviews", "verdicts", "dead-letters", "memory")
Place = tuple[int, bytes | None]
"""Partition and key of a record: what compaction keeps one of."""


@dataclass(slots=True)
class TopicTraces:
    """What one topic holds of a ticket."""

    records: int = 0
    latest_ms: int = 0
    """When the last of them was written, Unix time in milliseconds."""
    ends: dict[int, int] = field(default_factory=dict)
    """The offset of the last of them, by partition."""
    standing: set[Place] = field(default_factory=set)
    """The keys whose latest record is of the ticket."""

    def add(self, record: ConsumerRecord) -> None:
        """Count a record of the ticket."""
        self.records += 1
        self.latest_ms = max(self.latest_ms, record.timestamp)
        self.ends[record.partition] = record.offset
        self.standing.add((record.partition, record.key))


@dataclass(slots=True)
class Traces:
    """What the topics hold of a ticket, and the texts that it had."""

    topics: dict[str, TopicTraces] = field(default_factory=dict)
    """By the topic's name, without the prefix; those that hold something."""
    texts: set[str] = field(default_factory=set)


async def find_traces(ticket_id: str, connection: Connection, *, prefix: str) -> Traces:
    """Read all topics of tickets to their ends.

    Raises StopWorker if the broker cannot be reached, or does not show one of them: nothing can be said of what is on it.
    """
    found = Traces()
    async with reader(OF_TICKETS, connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            name = record.topic.removeprefix(prefix)
            if record.value is not None and _is_about(record, name, ticket_id, prefix):
                found.topics.setdefault(name, TopicTraces()).add(record)
                found.texts.update(_texts(decode(record, prefix), prefix))
            elif name in found.topics:
                found.topics[name].standing.discard((record.partition, record.key))
    return found


def _is_about(record: ConsumerRecord, topic: str, ticket_id: str, prefix: str) -> bool:
    if record.key == bytes_of(ticket_id) and topic != "dead-letters":
        return True
    if topic == "tickets":  # producers choose their own keys
        return ticket_named(record.value) == ticket_id
    message = decode(record, prefix) if topic in ("dead-letters", "memory") else None
    if isinstance(message, DeadLetter):
        ticket = ticket_of(message, prefix)
        named = ticket_named(message.original) if ticket is None else ticket.ticket_id
        return message.key == bytes_of(ticket_id) or named == ticket_id
    return isinstance(message, Example) and message.ticket_id == ticket_id


def ticket_named(value: bytes) -> str | None:
    """Return the id of the ticket that JSON names, itself or in its ``ticket``, whether or not it is a valid message."""
    try:
        row = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if isinstance(row, dict) and isinstance(row.get("ticket"), dict):
        row = row["ticket"]
    return row.get("ticket_id") if isinstance(row, dict) else None


def _texts(message: Message | None, prefix: str) -> Iterator[str]:
    if isinstance(message, Ticket | Example):
        yield message.text
    elif isinstance(message, Classification | Escalation | Review):
        yield message.ticket.text
    elif isinstance(message, DeadLetter) and (ticket := ticket_of(message, prefix)) is not None:
        yield ticket.text


async def forget_keys(topic: str, places: Iterable[Place], by: str, connection: Connection, *, prefix: str) -> None:
    """Write a record without a value for each key, on its partition, which names who did it.

    Returns as the broker has all of them; raises StopWorker if it cannot be reached.
    """
    producer = await start_producer(connection)
    try:
        async with asyncio.timeout(PATIENCE_S):
            for partition, key in places:
                await producer.send_and_wait(
                    prefix + topic, None, key, partition, headers=[(FORGOTTEN_BY_HEADER, bytes_of(by))]
                )
    finally:
        await stop_producer(producer)

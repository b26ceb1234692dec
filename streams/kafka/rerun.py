"""Sends tickets through again: the latest record of each on the topic ``tickets``, with the number of the run in a header."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import (
    NEWEST,
    REVISION_HEADER,
    RUN_HEADER,
    TOPICS,
    InvalidMessage,
    Ticket,
    WireFormat,
    bytes_of,
    digest_of,
    revision_and_run,
)
from schemas.headers import Header
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import refusal
from streams.kafka.producers import start_producer, stop_producer
from streams.kafka.readers import reader, to_the_end

_TICKETS = TOPICS["tickets"]
#: How many records are on their way at once.
_CHUNK = 500


@dataclass(slots=True)
class Found:
    """What ``tickets`` has of the tickets in question."""

    latest: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Partition and offset of the latest text of each, in its first valid record."""
    revisions: dict[str, int] = field(default_factory=dict)
    """The revision of that text."""
    digests: dict[str, bytes] = field(default_factory=dict)
    """The digest of the text there."""
    runs: dict[str, set[int]] = field(default_factory=dict)
    """The runs that each one was sent with."""


async def find(ticket_ids: Iterable[str], connection: Connection, *, prefix: str) -> Found:
    """Look for these tickets on their topic; raises StopWorker if the broker cannot be reached."""
    found = Found()
    keys = {bytes_of(ticket_id): ticket_id for ticket_id in ticket_ids}
    async with reader([_TICKETS.name], connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            ticket_id = keys.get(record.key or b"")
            if ticket_id is None:
                continue
            try:
                ticket = Ticket.decode(record.value)
                revision, run = revision_and_run(record.headers, record.timestamp, record.offset)
            except InvalidMessage:
                continue
            found.runs.setdefault(ticket_id, set()).add(run)
            # What was sent again may be an older text than one that came in between.
            if revision > found.revisions.get(ticket_id, -1):
                found.revisions[ticket_id] = revision
                found.latest[ticket_id] = record.partition, record.offset
                found.digests[ticket_id] = digest_of(ticket.text)
    return found


async def send_again(
    places: Mapping[str, tuple[int, int]],
    tickets: Iterable[Ticket],
    connection: Connection,
    *,
    prefix: str,
    run: int,
    claim: Callable[[Sequence[str]], Collection[str]],
    done: Callable[[Sequence[str]], Awaitable[None]],
    wire: WireFormat = NEWEST,
) -> None:
    """Send the records at these places again, by ticket id, and ``tickets`` that are no longer on the topic.

    Key, value, headers and partition stay; headers for the run and for the revision that is repeated are added. ``claim`` is
    called with the ids of some tickets before they are sent, and returns those that may be; ``done`` with the same ones as
    the broker has them. Raises StopWorker if it cannot be reached or takes none.
    """
    producer = await start_producer(connection)
    try:
        chunk: list[_Again] = []
        async for again in _records(places, tickets, connection, prefix, run, wire):
            chunk.append(again)
            if len(chunk) == _CHUNK:
                await _send(producer, chunk, prefix, claim, done)
                chunk = []
        await _send(producer, chunk, prefix, claim, done)
    except KafkaError as error:
        refused = refusal(error, connection.security)
        raise StopWorker(refused or f"the broker does not take tickets: {error!r}; go on with --run {run}") from error
    finally:
        await stop_producer(producer)


@dataclass(frozen=True, slots=True)
class _Again:
    ticket_id: str
    key: bytes
    value: bytes
    headers: Sequence[Header]
    partition: int | None = None


async def _records(
    places: Mapping[str, tuple[int, int]],
    tickets: Iterable[Ticket],
    connection: Connection,
    prefix: str,
    run: int,
    wire: WireFormat,
) -> AsyncIterator[_Again]:
    """Yield what is to be sent, in the order of the topic: a record is read again rather than kept in memory."""
    mark = (RUN_HEADER, _digits(run))
    for ticket in tickets:
        yield _Again(ticket.ticket_id, bytes_of(ticket.ticket_id), wire.encode(ticket), [mark])
    wanted = {place: ticket_id for ticket_id, place in places.items()}
    if not wanted:
        return
    async with reader([_TICKETS.name], connection, prefix=prefix) as consumer:
        await _skip_to_the_first(consumer, wanted, prefix)
        async for record in to_the_end(consumer):
            ticket_id = wanted.pop((record.partition, record.offset), None)
            if ticket_id is not None:
                headers = [header for header in record.headers if header[0] not in (RUN_HEADER, REVISION_HEADER)]
                revision, _ = revision_and_run(record.headers, record.timestamp, record.offset)
                headers += [(REVISION_HEADER, _digits(revision)), mark]
                yield _Again(ticket_id, record.key, record.value, headers, record.partition)
            if not wanted:
                return


async def _skip_to_the_first(consumer: AIOKafkaConsumer, wanted: Iterable[tuple[int, int]], prefix: str) -> None:
    first: dict[int, int] = {}
    for partition, offset in wanted:
        first[partition] = min(offset, first.get(partition, offset))
    begins = {TopicPartition(prefix + _TICKETS.name, partition): offset for partition, offset in first.items()}
    for partition, end in (await consumer.end_offsets(list(begins))).items():
        # The embedded broker names the last batch's first offset + 1 as the end: what comes after it in the batch would be
        # taken for read.
        consumer.seek(partition, max(0, min(begins[partition], end - 1)))
    if others := [each for each in consumer.assignment() if each.partition not in first]:
        await consumer.seek_to_end(*others)


async def _send(
    producer: AIOKafkaProducer,
    chunk: Sequence[_Again],
    prefix: str,
    claim: Callable[[Sequence[str]], Collection[str]],
    done: Callable[[Sequence[str]], Awaitable[None]],
) -> None:
    claimed = claim([each.ticket_id for each in chunk])
    mine = [each for each in chunk if each.ticket_id in claimed]
    topic = prefix + _TICKETS.name
    sending = [
        producer.send_and_wait(topic, each.value, each.key, each.partition, headers=list(each.headers)) for each in mine
    ]
    await asyncio.gather(*sending)
    await done([each.ticket_id for each in mine])


def _digits(number: int) -> bytes:
    return str(number).encode()

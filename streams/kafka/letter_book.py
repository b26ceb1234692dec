"""The dead letters on their topic, and which of them are closed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import TopicPartition

from schemas import TOPICS, Classification, DeadLetter, Escalation, InvalidMessage, Review, Ticket, digest_of
from schemas.headers import Closing, Header
from streams.kafka.connection import Connection
from streams.kafka.consumers import start_consumer, stop_consumer
from streams.kafka.readers import reader, to_the_end
from streams.kafka.records import record_at

#: How much of each letter's original is kept: a topic of large letters would not fit into memory.
PREVIEW_BYTES = 256


class LetterRecord(Protocol):
    """One record of the topic; aiokafka's ConsumerRecord is one."""

    @property
    def partition(self) -> int:
        """Partition number."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def value(self) -> bytes | None:
        """The letter."""

    @property
    def headers(self) -> Sequence[Header]:
        """How it was closed, if it was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One dead letter, without its original beyond ``PREVIEW_BYTES``, and how it was closed."""

    letter: DeadLetter
    place: tuple[int, int]
    """Partition and offset of the latest record with the whole letter."""
    content: bytes
    """A digest of the original's key and value."""
    closing: Closing | None = None
    ticket: tuple[str, bytes] | None = None
    """The id of the ticket that the message is about, and a digest of its text; None if the message names none."""

    @property
    def is_open(self) -> bool:
        """Whether it still has to be redriven or discarded."""
        return self.closing is None or self.closing.state == "redriving"

    @property
    def state(self) -> str:
        """How it stands, in one word."""
        return "open" if self.closing is None else self.closing.state


class LetterBook:
    """Every dead letter by its origin, made of the topic's records in their order.

    The latest record of an origin counts. A worker that was killed writes a letter again as it was; that does not open one
    that is closed.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._entries: dict[str, Entry] = {}

    def add(self, record: LetterRecord) -> None:
        """Note one record; what is not a dead letter is left out."""
        try:
            letter = DeadLetter.decode(record.value)
        except InvalidMessage:
            return
        content, closing = _digest(letter), Closing.of(record.headers)
        known = self._entries.get(letter.origin)
        if closing is None and known is not None and known.content == content:
            closing = known.closing
        preview = letter.model_copy(update={"original": letter.original[:PREVIEW_BYTES]})
        ticket = ticket_of(letter, self._prefix)
        self._entries[letter.origin] = Entry(
            preview,
            (record.partition, record.offset),
            content,
            closing,
            None if ticket is None else (ticket.ticket_id, digest_of(ticket.text)),
        )

    def get(self, name: str) -> Entry | None:
        """Return the letter with this origin or this id."""
        found = self._entries.get(name)
        return found or next((each for each in self._entries.values() if each.letter.letter_id == name), None)

    def choose(
        self,
        *,
        reasons: Collection[str] = (),
        topics: Collection[str] = (),
        since_ms: int = 0,
        closed: bool = False,
    ) -> list[Entry]:
        """Return the open letters, with ``closed`` all of them, the oldest first.

        ``reasons`` and ``topics`` (physical names) keep those that have one of these; ``since_ms`` those from then on, Unix
        time in milliseconds.
        """
        chosen = [
            each
            for each in self._entries.values()
            if (closed or each.is_open)
            and (not reasons or each.letter.reason in reasons)
            and (not topics or each.letter.topic in topics)
            and each.letter.at_ms >= since_ms
        ]
        return sorted(chosen, key=lambda each: (each.letter.at_ms, each.letter.origin))


def ticket_of(letter: DeadLetter, prefix: str) -> Ticket | None:
    """Return the ticket that a letter's message is about, or None if the message is invalid or about none."""
    topic = TOPICS.get(letter.topic.removeprefix(prefix))
    if topic is None or not letter.is_whole:
        return None
    try:
        message = topic.message.decode(letter.original)
    except InvalidMessage:
        return None
    if isinstance(message, Classification | Escalation | Review):
        return message.ticket
    return message if isinstance(message, Ticket) else None


def _digest(letter: DeadLetter) -> bytes:
    key = b"-" if letter.key is None else b"+" + letter.key
    return hashlib.blake2b(
        len(key).to_bytes(8, "big") + key + letter.original + letter.original_size.to_bytes(8, "big"), digest_size=16
    ).digest()


async def read_letters(connection: Connection, *, prefix: str) -> LetterBook:
    """Read the topic to its end; raises StopWorker if the broker cannot be reached."""
    book = LetterBook(prefix)
    async with reader(["dead-letters"], connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            book.add(record)
    return book


async def letter_of(entry: Entry, connection: Connection, *, prefix: str) -> DeadLetter | None:
    """Return the whole letter of an entry, or None if it has left the topic meanwhile."""
    partition, offset = entry.place
    consumer = await start_consumer(connection)
    try:
        record = await record_at(consumer, TopicPartition(f"{prefix}dead-letters", partition), offset)
    finally:
        await stop_consumer(consumer)
    return None if record is None else DeadLetter.decode(record.value)

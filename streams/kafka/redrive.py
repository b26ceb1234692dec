"""Closes dead letters: the original is sent to its topic once more, or the letter is discarded, and that is recorded.

With transactions, one holds the original and the letter that is closed by it. They have one id for a deployment, so of two
commands at once the later one fences the earlier. Without them a letter is first marked as *redriving*, and of two
commands the one whose mark comes first on the topic sends. A letter that is found so marked was left by a command that
died: its message is looked for on its topic before it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, MessageSizeTooLargeError, ProducerFenced

from schemas import (
    REVISION_HEADER,
    RUN_HEADER,
    TOPICS,
    DeadLetter,
    InvalidMessage,
    bytes_of,
    revision_and_run,
    revision_of,
)
from schemas.headers import LETTER_HEADER, Closing, Header
from streams.errors import GiveUp, StopWorker
from streams.kafka.connection import Connection
from streams.kafka.consumers import start_consumer, stop_consumer
from streams.kafka.diagnosis import plain_refusals
from streams.kafka.letter_book import Entry, LetterBook
from streams.kafka.producers import start_producer, stop_producer
from streams.kafka.records import PATIENCE_S, record_at, to_the_last
from streams.kafka.topics import require_topics

_LETTERS = "dead-letters"
_OURS = {RUN_HEADER, REVISION_HEADER, LETTER_HEADER}
#: The broker's clock may stamp records of one topic, and the sender's those of another.
_CLOCKS_MS = 10 * 60 * 1000
#: A command that marked a letter within the last minute may be alive, and about to send: that long it has to do so.
_MAYBE_ALIVE_MS = 60_000
_ABOUT_TO_SEND_S = 2.0


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """One record to send."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


class LetterDesk:
    """Redrives and discards dead letters; ``book`` holds them as they were when it was opened."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        prefix: str,
        *,
        start: Callable[[], Awaitable[AIOKafkaProducer]],
        transactions: bool,
    ) -> None:
        self.book = LetterBook(prefix)
        self.producer = producer
        self._start = start
        self._consumer = consumer
        self._prefix = prefix
        self._transactions = transactions
        self._read_to: dict[TopicPartition, int] = {}
        self._closings: dict[bytes, int] = {}
        """The offset of the first closing of each letter, by its key, since the topic was read for the book."""

    async def read(self) -> None:
        """Read the topic. The producer has started before: an earlier one with transactions closes no letter any more."""
        topic = self._prefix + _LETTERS
        partitions = [TopicPartition(topic, number) for number in await self.producer.partitions_for(topic)]
        self._read_to = dict(await self._consumer.beginning_offsets(partitions))
        async for record in to_the_last(self._consumer, self._read_to.copy()):
            self._read_to[TopicPartition(topic, record.partition)] = record.offset + 1
            self.book.add(record)

    async def redrive(self, entry: Entry, by: str, at_ms: int, *, run: int, note: str = "") -> None:
        """Send an open letter's original to its topic once, and close the letter.

        ``at_ms`` is Unix time in milliseconds. A redrive that was begun before goes on under its own ``run``. Raises GiveUp
        for a letter that cannot be redriven.
        """
        record = await self._record(entry)
        letter = DeadLetter.decode(record.value)
        begun = entry.closing
        mark = begun or Closing(state="redriving", by=by, at_ms=at_ms, note=note, run=run)
        done = _again(record, mark.model_copy(update={"state": "redriven"}))
        if begun is not None and await self._was_sent(letter, begun):
            await self._send(done)
            return
        original = await self._original(letter, mark)
        if self._transactions:
            await self._send(original, done)
            return
        await self._claim(record, mark)
        if begun is not None and at_ms - record.timestamp < _MAYBE_ALIVE_MS:
            await asyncio.sleep(_ABOUT_TO_SEND_S)
            if await self._was_sent(letter, begun):
                await self._send(done)
                return
        await self._send(original)
        await self._send(done)

    async def _claim(self, record: ConsumerRecord, mark: Closing) -> None:
        """Mark a letter as being redriven. Raises GiveUp if another command has marked or closed it before."""
        [mine] = await self._send(_again(record, mark))
        partition = TopicPartition(record.topic, record.partition)
        await self._read_on({partition: self._read_to[partition]})
        if self._closings.get(record.key) != mine:
            raise _taken()

    async def _read_on(self, places: Mapping[TopicPartition, int]) -> None:
        """Note which letters were closed since the topic was read, by whichever command."""
        async for later in to_the_last(self._consumer, dict(places)):
            self._read_to[TopicPartition(later.topic, later.partition)] = later.offset + 1
            if Closing.of(later.headers) is not None:
                self._closings.setdefault(later.key, later.offset)

    async def discard(self, entry: Entry, by: str, at_ms: int, *, note: str = "") -> None:
        """Close an open letter without sending its original; ``at_ms`` is Unix time in milliseconds."""
        closing = Closing(state="discarded", by=by, at_ms=at_ms, note=note)
        await self._send(_again(await self._record(entry), closing))

    async def rerun(self, entry: Entry, by: str, at_ms: int, *, run: int) -> None:
        """Close an open letter whose ticket was sent in a run; ``at_ms`` is Unix time in milliseconds."""
        closing = Closing(state="rerun", by=by, at_ms=at_ms, run=run)
        await self._send(_again(await self._record(entry), closing))

    async def _record(self, entry: Entry) -> ConsumerRecord:
        partition, offset = entry.place
        record = await record_at(self._consumer, TopicPartition(self._prefix + _LETTERS, partition), offset)
        if record is None:
            raise GiveUp("the letter has left the topic dead-letters", reason="letter_gone")
        if record.key in self._closings:
            raise _taken()
        return record

    async def _original(self, letter: DeadLetter, mark: Closing) -> _Outgoing:
        """Return the message as it was, with the headers of a redrive."""
        name = letter.topic.removeprefix(self._prefix)
        if letter.topic != self._prefix + name or name not in TOPICS or name == _LETTERS:
            raise GiveUp(f"{letter.topic} is no topic that agents read", reason="unknown_topic")
        if letter.partition not in await self.producer.partitions_for(letter.topic):
            raise GiveUp(f"{letter.topic} has no partition {letter.partition} any more", reason="partition_gone")
        place = TopicPartition(letter.topic, letter.partition)
        found = await record_at(self._consumer, place, letter.offset)
        if found is not None and _begins(found, letter):
            # It has headers of its producer, which the letter does not.
            key, value, headers = found.key, found.value, [each for each in found.headers if each[0] not in _OURS]
            revision = _revision(found)
        elif letter.is_whole:
            key, value, headers = letter.key, None if letter.tombstone else letter.original, []
            revision = revision_of(letter.at_ms, letter.offset)
        else:
            raise GiveUp(
                f"the letter has only a part of the message, and {letter.origin} is no longer on the topic",
                reason="original_gone",
            )
        if key is None and value is None:
            raise GiveUp("the message has neither key nor value; discard it", reason="nothing_to_send")
        if name == TOPICS["tickets"].name:
            # A text that came in between is later than this one all the same.
            headers.append((REVISION_HEADER, str(revision).encode()))
        return _Outgoing(letter.topic, letter.partition, key, value, [*headers, *_marks(letter, mark)])

    async def _was_sent(self, letter: DeadLetter, mark: Closing) -> bool:
        """Look for the original among what came to its topic since the mark."""
        place = TopicPartition(letter.topic, letter.partition)
        since = {place: max(0, mark.at_ms - _CLOCKS_MS)}
        first = (await self._consumer.offsets_for_times(since))[place]
        if first is None or first.offset < 0:
            return False
        marks = set(_marks(letter, mark))
        async for record in to_the_last(self._consumer, {place: first.offset}):
            if marks <= set(record.headers):
                return True
        return False

    async def _send(self, *records: _Outgoing) -> list[int]:
        """Send in this order, with transactions all or none of it, and return the offsets; raises GiveUp for one too large."""
        offsets = []
        try:
            async with (
                asyncio.timeout(PATIENCE_S),
                self.producer.transaction() if self._transactions else nullcontext(),
            ):
                for each in records:
                    sent = await self.producer.send_and_wait(
                        each.topic, each.value, each.key, each.partition, headers=list(each.headers)
                    )
                    offsets.append(sent.offset)
        except MessageSizeTooLargeError as refused:
            await self._renew()
            raise GiveUp(f"the broker refuses it for its size: {refused}", reason="too_large") from refused
        return offsets

    async def _renew(self) -> None:
        """Start the producer again: what was refused leaves a gap in its numbering, behind which the broker takes nothing."""
        await stop_producer(self.producer)
        self.producer = await self._start()
        await self._read_on(self._read_to)  # one with transactions fences a command that has begun meanwhile


@asynccontextmanager
async def letter_desk(connection: Connection, *, prefix: str, transactions: bool) -> AsyncIterator[LetterDesk]:
    """Yield a desk that has read the topic; raises StopWorker if the broker is unavailable, has no such topic, or refuses.

    Whatever it raises, the command can be run again: no original is sent twice.
    """
    await require_topics(connection, prefix, [_LETTERS])
    start = partial(start_producer, connection, prefix + _LETTERS if transactions else None)
    consumer = await start_consumer(connection)
    try:
        with plain_refusals(connection.security):
            desk = LetterDesk(await start(), consumer, prefix, start=start, transactions=transactions)
            try:
                await desk.read()
                yield desk
            except (ProducerFenced, InvalidProducerEpoch) as fenced:
                raise StopWorker(
                    "another command closes dead letters now, and this one ends; run it again later"
                ) from fenced
            finally:
                await stop_producer(desk.producer)
    finally:
        await stop_consumer(consumer)


def _taken() -> GiveUp:
    return GiveUp("another command sees to it now", reason="taken")


def _marks(letter: DeadLetter, mark: Closing) -> list[Header]:
    """Return the headers by which a redriven original is known."""
    return [(RUN_HEADER, str(mark.run).encode()), (LETTER_HEADER, bytes_of(letter.letter_id))]


def _revision(record: ConsumerRecord) -> int:
    try:
        return revision_and_run(record.headers, record.timestamp, record.offset)[0]
    except InvalidMessage:
        return revision_of(record.timestamp, record.offset)


def _again(record: ConsumerRecord, closing: Closing) -> _Outgoing:
    """Return a letter as it is written again: the same bytes, so that the version of the messages does not matter."""
    return _Outgoing(record.topic, record.partition, record.key, record.value, [closing.header()])


def _begins(record: ConsumerRecord, letter: DeadLetter) -> bool:
    """Whether a letter was made of this record: after a topic was made again, another one has its offset."""
    key, value = record.key or b"", record.value or b""
    if letter.tombstone is not None and letter.tombstone is not (record.value is None):
        return False
    return (
        key.startswith(letter.key or b"")
        and len(key) == (len(key) if letter.key_size is None else letter.key_size)
        and value.startswith(letter.original)
        and len(value) == letter.original_size
    )

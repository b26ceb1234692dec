"""Follows the topic ``memory``: every worker that shows examples holds all of them, from before its first ticket on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from schemas import Example as Message
from schemas import InvalidMessage
from streams.agents.registry import MEMORY_TOPIC
from streams.aio import in_background
from streams.core.memory.example import Example
from streams.core.memory.vector_bytes import unpacked
from streams.errors import HedgerowError, SettingsError, StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import refusal
from streams.kafka.readers import batches_to_the_end, reader
from streams.memory.english_only import EnglishOnly
from streams.memory.memory import Memory

log = structlog.get_logger(__name__)

#: The number of records handled at once, so that the event loop has its turn in between.
_CHUNK = 200
#: A topic of which nothing comes for this long cannot be read.
_SILENCE_S = 60.0

_REBUILD = "run hedgerow memory rebuild"

#: Called with what became of records ("added", "forgotten", "dropped", "invalid", "other_model") and how many.
Changed = Callable[[str, int], None]


@asynccontextmanager
async def following_memory(
    memory: Memory,
    connection: Connection,
    prefix: str,
    failed: Callable[[StopWorker], None],
    changed: Changed = lambda _what, _count: None,
) -> AsyncIterator[None]:
    """Fill the memory with all that the topic holds, and keep it up to date from then on.

    Every worker reads the whole topic by itself, outside any group, so no rebalance touches it. ``failed`` is called at an
    end of the reading. Raises StopWorker if the topic cannot be read.
    """
    async with reader([MEMORY_TOPIC], connection, prefix=prefix) as consumer:
        follower = MemoryFollower(memory, changed)
        await _catch_up(consumer, follower, connection)
        follower.say_what_was_read()
        async with in_background(_follow(consumer, follower, connection, failed)):
            yield


async def read_memory_topic(memory: Memory, connection: Connection, prefix: str) -> None:
    """Fill the memory with what the topic holds now. Raises StopWorker if it cannot be read, SettingsError if it is of no use."""
    found: Counter[str] = Counter()

    def changed(what: str, count: int) -> None:
        found[what] += count

    async with reader([MEMORY_TOPIC], connection, prefix=prefix) as consumer:
        await _catch_up(consumer, MemoryFollower(memory, changed), connection)
    if found["other_model"]:
        raise SettingsError(f"the topic memory has vectors of another model than {memory.embedder.model}: {_REBUILD}")
    if not len(memory):
        raise SettingsError("the topic memory holds no example: hedgerow memory load brings some")


class MemoryFollower:
    """Takes the topic's records into a memory. A record that is no example is skipped and counted."""

    def __init__(self, memory: Memory, changed: Changed = lambda _what, _count: None) -> None:
        self._memory = memory
        self._changed = changed
        self._english = EnglishOnly(memory.embedder.model)
        self._said: set[str] = set()
        self._dimensions: int | None = None

    async def take(self, records: Sequence[ConsumerRecord]) -> None:
        """Take records of one partition, in their order. Raises StopWorker without the library of a large memory."""
        try:
            await self._take(records)
        except HedgerowError:
            raise
        except Exception as error:  # noqa: BLE001 - a record that meets a defect must not keep the others out, nor end workers
            if len(records) == 1:
                self._invalid(records[0], repr(error))
                return
            for record in records:
                await self.take([record])

    async def _take(self, records: Sequence[ConsumerRecord]) -> None:
        latest: dict[str, Message | None] = {}
        for record in records:
            key = _id_of(record.key)
            # A later record of a key replaces an earlier one, whatever it is: compaction leaves nothing before it.
            latest[key] = self._read(record, key)
        gone = [key for key, message in latest.items() if message is None]
        new = [message for message in latest.values() if message is not None]
        if gone:
            await self._memory.forget(gone)
        if new:
            dropped = await self._memory.put(
                [Example(each.example_id, each.ticket_id, each.text, each.label) for each in new],
                unpacked([each.vector for each in new]),
                [each.at_ms for each in new],
            )
            self._changed("added", len(new))
            if said := self._english.look([each.text for each in new]):
                self._once(said)
            if dropped:
                self._changed("dropped", dropped)
                self._once("memory.max_examples is reached: the oldest of the most crowded label is dropped")

    def say_what_was_read(self) -> None:
        """Log how much is known before the first ticket."""
        log.info("memory read", examples=len(self._memory), embedding_model=self._memory.embedder.model)

    def _read(self, record: ConsumerRecord, key: str) -> Message | None:
        if record.value is None:
            self._changed("forgotten", 1)
            return None
        try:
            message = Message.decode(record.value)
        except InvalidMessage as error:
            self._invalid(record, str(error))
            return None
        embedder = self._memory.embedder
        if message.embedding_model != embedder.model:
            self._changed("other_model", 1)
            self._once(
                f"examples of another embedding model are ignored: {_REBUILD}",
                found=message.embedding_model,
                expected=embedder.model,
            )
            return None
        dimensions = len(message.vector) // 2
        if message.example_id != key or dimensions != (self._memory.dimensions or self._dimensions or dimensions):
            self._invalid(record, "its key is not its id, or its vector has another length than the model's")
            return None
        self._dimensions = dimensions
        return message

    def _invalid(self, record: ConsumerRecord, problem: str) -> None:
        self._changed("invalid", 1)
        log.warning(
            "a record of the memory is no example",
            partition=record.partition,
            offset=record.offset,
            problem=problem,
        )

    def _once(self, line: str, **facts: str) -> None:
        if line not in self._said:
            self._said.add(line)
            log.warning(line, **facts)


def _id_of(key: bytes | None) -> str:
    """Return the id that a key is; none is empty, so an empty one is that of no example."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""


async def _catch_up(consumer: AIOKafkaConsumer, follower: MemoryFollower, connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_SILENCE_S) as limit:
            async for records in batches_to_the_end(consumer, _CHUNK):
                await follower.take(records)
                limit.reschedule(loop.time() + _SILENCE_S)
    except TimeoutError:
        raise StopWorker(f"the topic memory cannot be read: nothing came for {_SILENCE_S:g} s") from None
    except KafkaError as error:
        raise _unreadable(error, connection) from error


async def _follow(
    consumer: AIOKafkaConsumer, follower: MemoryFollower, connection: Connection, failed: Callable[[StopWorker], None]
) -> None:
    """Read on, for ever."""
    try:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=_CHUNK)).values():
                await follower.take(records)
    except KafkaError as error:
        failed(_unreadable(error, connection))
    except StopWorker as error:
        failed(error)


def _unreadable(error: KafkaError, connection: Connection) -> StopWorker:
    return StopWorker(refusal(error, connection.security) or f"the topic memory can no longer be read: {error!r}")

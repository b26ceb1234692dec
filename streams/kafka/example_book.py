"""The examples on the topic ``memory``, as its records say, and how a command changes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas import TOPICS, Example, InvalidMessage, bytes_of
from schemas.headers import FORGOTTEN_BY_HEADER
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import plain_refusals
from streams.kafka.producers import start_producer, stop_producer
from streams.kafka.readers import reader, to_the_end
from streams.kafka.records import PATIENCE_S

_MEMORY = TOPICS["memory"]


class ExampleRecord(Protocol):
    """One record of the topic; aiokafka's ConsumerRecord is one."""

    @property
    def key(self) -> bytes | None:
        """The example's id."""

    @property
    def value(self) -> bytes | None:
        """The example; None forgets it."""


class ExampleBook:
    """Every example by its id, made of the topic's records in their order: the latest record of a key counts.

    It is the same whether or not the broker has compacted the topic.
    """

    def __init__(self) -> None:
        self._examples: dict[bytes | None, Example] = {}
        self._invalid: set[bytes | None] = set()

    @property
    def examples(self) -> Collection[Example]:
        """The examples."""
        return self._examples.values()

    def get(self, example_id: str) -> Example | None:
        """Return an example by its id; None if there is none."""
        return self._examples.get(bytes_of(example_id))

    @property
    def invalid(self) -> int:
        """How many keys have a latest record that is no example under its own key."""
        return len(self._invalid)

    def add(self, record: ExampleRecord) -> None:
        """Take the next record. One that is no example leaves nothing of what its key said before."""
        example = None if record.value is None else _example(record)
        self._invalid.discard(record.key)
        if example is not None:
            self._examples[record.key] = example
            return
        self._examples.pop(record.key, None)
        if record.value is not None:
            self._invalid.add(record.key)


def _example(record: ExampleRecord) -> Example | None:
    try:
        example = Example.decode(record.value)
    except InvalidMessage:
        return None
    return example if _MEMORY.key_of(example) == record.key else None


async def read_memory(connection: Connection, *, prefix: str) -> ExampleBook:
    """Read the topic to its end; raises StopWorker if the broker cannot be reached or has no such topic."""
    book = ExampleBook()
    async with reader([_MEMORY.name], connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            book.add(record)
    return book


class ExampleTopic:
    """The topic for a command that changes it. ``book`` holds what it said when ``read_on`` was last called."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, topic: str) -> None:
        self.book = ExampleBook()
        self._consumer = consumer
        self._producer = producer
        self._topic = topic

    async def read_on(self) -> None:
        """Read what has come since."""
        async for record in to_the_end(self._consumer):
            self.book.add(record)

    async def put(self, examples: Iterable[Example]) -> None:
        """Return as the broker has all of them."""
        await self._send((_MEMORY.key_of(each), each.encode(), ()) for each in examples)

    async def forget(self, ids: Collection[str], by: str) -> None:
        """Return as the broker has a tombstone for each of them, which names who did it."""
        named = ((FORGOTTEN_BY_HEADER, bytes_of(by)),)
        await self._send((bytes_of(each), None, named) for each in ids)

    async def _send(self, records: Iterable[tuple[bytes, bytes | None, Sequence[tuple[str, bytes]]]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            sending = [
                self._producer.send_and_wait(self._topic, value, key, headers=list(headers))
                for key, value, headers in records
            ]
            await asyncio.gather(*sending)


@asynccontextmanager
async def example_topic(connection: Connection, *, prefix: str) -> AsyncIterator[ExampleTopic]:
    """Yield the topic, read to its end; raises StopWorker if the broker is unavailable, has no such topic, or refuses.

    Whatever it raises, the command can be run again: what the broker has is found there.
    """
    async with reader([_MEMORY.name], connection, prefix=prefix) as consumer:
        producer = await start_producer(connection)
        try:
            with plain_refusals(connection.security):
                topic = ExampleTopic(consumer, producer, prefix + _MEMORY.name)
                await topic.read_on()
                yield topic
        finally:
            await stop_producer(producer)

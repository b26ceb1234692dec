"""A broker that compacts the topic memory, on Apache Kafka: workers that follow it, and those that start, know the same."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas import Example
from streams.core.memory.vector_bytes import packed
from streams.demo.run import local_connection
from streams.kafka.example_book import read_memory
from streams.kafka.readers import reader, to_the_end
from streams.memory.memory import Memory
from streams.sandbox.brokers.kafka import LocalKafka
from streams.worker.memory_follower import following_memory, read_memory_topic
from tests.support.memories import Letters
from tests.support.messages import example, ticket

PATIENCE_S = 120.0
#: A segment is closed by the first record that comes after this time, and what is closed is compacted as soon as the cleaner looks.
CONFIG = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.0",
    "max.compaction.lag.ms": "1",
    "delete.retention.ms": "0",
}


async def known(name: str, text: str, label: str | None = "refund") -> Example:
    [vector] = packed(await Letters().embed([text]))
    return example(name, ticket_id=None, text=text, label=label, vector=vector, embedding_model=Letters.model)


def labels(memory: Memory, names: Sequence[str]) -> dict[str, str | None]:
    found = {name: memory._examples.get(name) for name in names}
    return {name: one.label for name, one in found.items() if one is not None}


@pytest.mark.kafka
async def test_workers_know_the_same_of_a_compacted_topic(kafka_broker: LocalKafka) -> None:
    connection, prefix = local_connection(kafka_broker), f"compacted-{secrets.token_hex(4)}."
    topic, names = f"{prefix}memory", [f"e-{number}" for number in range(10)]
    admin = AIOKafkaAdminClient(bootstrap_servers=connection.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=CONFIG)])
    await admin.close()
    wanted = {name: "shipping" if name < "e-4" else "refund" for name in names if name not in ("e-7", "e-8")}
    followed = Memory(Letters(), 2)
    producer = AIOKafkaProducer(bootstrap_servers=connection.bootstrap)
    await producer.start()

    async def records() -> int:
        async with reader(["memory"], connection, prefix=prefix) as consumer:
            return len([record async for record in to_the_end(consumer)])

    async def send(name: str, message: Example | None) -> None:
        await producer.send_and_wait(topic, None if message is None else message.encode(), name.encode())

    try:
        async with (
            asyncio.timeout(PATIENCE_S),
            following_memory(followed, connection, prefix, lambda error: pytest.fail(str(error))),
        ):
            for name in names:
                await send(name, await known(name, "aab"))
            for name in ("e-0", "e-1", "e-2", "e-3"):
                await send(name, await known(name, "bbc", "shipping"))
            for name in ("e-7", "e-8"):
                await send(name, None)
            number = 0
            while await records() > len(wanted) + 3:  # the last ones are in a segment that is not compacted yet
                number = (number + 1) % 2
                await send("later", await known("later", "ccd" * (1 + number)))
                await asyncio.sleep(0.5)
            await send("last", await known("last", "zzz", "account"))
            everyone = wanted | {"later": "refund", "last": "account"}
            while labels(followed, [*names, "later", "last"]) != everyone:
                await asyncio.sleep(0.05)
        started = Memory(Letters(), 2)
        await read_memory_topic(started, connection, prefix)
    finally:
        await producer.stop()
    book = await read_memory(connection, prefix=prefix)
    assert {one.example_id: one.label for one in book.examples} == everyone
    assert book.invalid == 0
    assert labels(started, [*names, "later", "last"]) == everyone
    asked = [ticket("t-1", "zz"), ticket("t-2", "bbc"), ticket("t-3", "aab")]
    novelties = [[one.novelty for one in await memory.recall(asked)] for memory in (started, followed)]
    assert novelties[0] == pytest.approx(novelties[1])

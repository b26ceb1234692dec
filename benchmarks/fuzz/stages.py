"""The real agents on the embedded broker, with everything that can be wrong thrown at one of their topics."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.fuzz.corpus import Corpus
from benchmarks.fuzz.inputs import Ended, Inputs, Seen
from streams.agents.registry import AGENTS, WATCHERS, AgentName
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.kafka.lag import records_waiting
from streams.kafka.readers import decode, reader
from streams.kafka.topics import admin_client, create_topics
from streams.models.probed_endpoint import ProbedEndpoints
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from streams.worker.worker import Worker

#: Who reads which topic. What else is on topics (routed, verdicts, dead letters) is read by no agent.
READERS: dict[str, tuple[AgentName, ...]] = {
    "tickets": ("classify",),
    "classifications": ("score", "traffic"),
    "escalations": ("escalate",),
    "reviews": ("review",),
    "probes": ("drift",),
    "alerts": ("cause",),
}
_ANSWERS = frozenset({"classify", "score", "escalate", "review"})
_ENDS = ("routed", "reviews", "dead-letters")
_PARTITIONS = 4
_BATCH = 500
#: Without anything new for this long, what is missing counts as lost.
_STALL_S = 60.0


@dataclass(frozen=True, slots=True)
class Thrown:
    """How the records of every topic ended for each agent that reads it, and whether the worker lived."""

    ended: dict[str, Ended]
    """By "topic -> agent"."""
    uncommitted: dict[str, Any]
    """Partitions of a "topic -> agent" whose committed offset is not past every record (none)."""
    worker_died: str | None
    seconds: float


async def throw(topics: Sequence[str], count: int, seed: int, models: ModelServer, folder: Path) -> Thrown:
    """Throw so many messages at each of the topics, with every agent at work on an embedded broker, and account for each."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(EmbeddedBroker())
        settings = _settings(broker, models, folder)
        prefix, connection = settings.topics.prefix, settings.broker.connection
        await create_topics(connection, prefix=prefix, partitions=_PARTITIONS, replication=1)
        worker = Worker(settings, AGENTS + WATCHERS)
        task = asyncio.create_task(worker.run())
        stack.push_async_callback(_stop, worker, task)
        inputs = [Inputs(topic) for topic in topics]
        await asyncio.gather(*(_produce(Corpus(each.topic, seed), count, each, settings) for each in inputs))
        admin = await stack.enter_async_context(admin_client(connection))
        seen = Seen()
        await _collect(inputs, seen, settings, admin, task)
        died = repr(task.exception()) if task.done() else None
        ended, uncommitted = {}, {}
        for each in inputs:
            for agent in READERS[each.topic]:
                name = f"{each.topic} -> {agent}"
                keys = _stored(settings) if agent == "review" else seen.keys if agent in _ANSWERS else None
                ended[name] = each.ended(agent, seen, keys=keys)
                if behind := await _behind(agent, each, settings, admin):
                    uncommitted[name] = behind
    return Thrown(ended, uncommitted, died, time.monotonic() - began)


def _settings(broker: EmbeddedBroker, models: ModelServer, folder: Path) -> Settings:
    prefix = f"fuzz-{secrets.token_hex(3)}."
    folder = folder / prefix
    folder.mkdir()
    settings = demo_settings(local_connection(broker), models.url, models.labels, Policy(), folder, prefix)
    cheap = {"name": "cheap", "base_url": models.url, "model": settings.tiers.cheap.model}
    # With a probed endpoint the workers follow the alerts too.
    return settings.model_copy(update={"endpoints": ProbedEndpoints.model_validate([cheap])})


async def _produce(corpus: Corpus, count: int, inputs: Inputs, settings: Settings) -> None:
    topic = settings.topics.prefix + inputs.topic
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.broker.bootstrap, max_request_size=3 << 20, max_batch_size=1 << 20
    )
    await producer.start()
    try:
        batch: list[tuple[bytes | None, asyncio.Future[Any]]] = []
        for number, value in enumerate(corpus.messages(count)):
            partition = number % _PARTITIONS  # whatever the keys are
            key = corpus.key() or b""  # the client sends no record without either
            batch.append((value, await producer.send(topic, value=value, key=key, partition=partition)))
            if len(batch) == _BATCH or number == count - 1:
                for sent, future in batch:
                    at = await future
                    inputs.sent(at.partition, at.offset, f"{at.topic}/{at.partition}/{at.offset}", sent)
                batch.clear()
    finally:
        await producer.stop()


async def _collect(
    inputs: Sequence[Inputs], seen: Seen, settings: Settings, admin: AIOKafkaAdminClient, task: asyncio.Task[None]
) -> None:
    """Read where records end until every agent has finished all there is, nothing moves any more, or the worker is dead."""
    prefix, connection = settings.topics.prefix, settings.broker.connection
    last = time.monotonic()
    drained = False
    async with reader(_ENDS, connection, prefix=prefix) as consumer:
        while not task.done() and time.monotonic() - last < _STALL_S:
            found = await consumer.getmany(timeout_ms=500)
            for records in found.values():
                for record in records:
                    if (message := decode(record, prefix)) is not None:
                        seen.take(message, prefix)
            if found:
                last = time.monotonic()
            elif drained:
                return  # what was sent before the last commit has been read since
            else:
                drained = await _drained(inputs, settings, admin)


async def _drained(inputs: Sequence[Inputs], settings: Settings, admin: AIOKafkaAdminClient) -> bool:
    """Return whether every agent has committed all of its topic, what followed from other records too."""
    for each in inputs:
        for agent in READERS[each.topic]:
            if await _behind(agent, each, settings, admin):
                return False
    readers = [(topic, agent) for topic, agents in READERS.items() for agent in agents]
    waiting = await asyncio.gather(*(_waiting(topic, agent, settings, admin) for topic, agent in readers))
    return not any(waiting)


async def _waiting(topic: str, agent: str, settings: Settings, admin: AIOKafkaAdminClient) -> bool:
    """Return whether there may be records that the agent has not committed."""
    committed, physical = await _committed(agent, topic, settings, admin), settings.topics.prefix + topic
    positions = {(physical, partition): committed.get(partition) for partition in range(_PARTITIONS)}
    return await records_waiting(settings.broker.connection, positions) != 0


async def _behind(
    agent: str, inputs: Inputs, settings: Settings, admin: AIOKafkaAdminClient
) -> dict[int, tuple[int | None, int]]:
    """Return the partitions whose committed offset is not past every record, with that offset and the end."""
    committed = await _committed(agent, inputs.topic, settings, admin)
    return {
        partition: (committed.get(partition), end)
        for partition, end in inputs.ends.items()
        if (committed.get(partition) or 0) < end
    }


async def _committed(agent: str, topic: str, settings: Settings, admin: AIOKafkaAdminClient) -> Mapping[int, int]:
    wanted = [TopicPartition(settings.topics.prefix + topic, partition) for partition in range(_PARTITIONS)]
    found = await admin.list_consumer_group_offsets(settings.topics.prefix + agent, partitions=wanted)
    return {place.partition: at.offset for place, at in found.items() if at.offset >= 0}


def _stored(settings: Settings) -> set[str]:
    store = ReviewStore(settings.review.url)
    try:
        return {item.review.ticket_id for item in store.waiting(limit=10_000_000)}
    finally:
        store.close()


async def _stop(worker: Worker, task: asyncio.Task[None]) -> None:
    worker.stop()
    await asyncio.wait({task})

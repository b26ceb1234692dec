"""A whole worker in the test's own process, on a broker and the sandbox's models, under a prefix of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaProducer

from schemas import DeadLetter, Message, Review, Routed
from streams.agents.registry import AGENTS, AgentName
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.kafka.readers import decode, reader
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from streams.worker.worker import Worker

PATIENCE_S = 120.0
_PARTITIONS = 2


@dataclass
class Pipeline:
    """A running worker; what it has put on the topics that end tickets is collected in ``ends``."""

    settings: Settings
    worker: Worker
    task: asyncio.Task[None]
    ends: list[Message] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    """Name of what was sent to its topic/partition/offset."""

    @property
    def letters(self) -> dict[str, list[DeadLetter]]:
        """Dead letters by their origin."""
        found: dict[str, list[DeadLetter]] = {}
        for end in self.ends:
            if isinstance(end, DeadLetter):
                found.setdefault(end.origin, []).append(end)
        return found

    @property
    def results(self) -> dict[str, list[Routed | Review]]:
        """Routed labels and reviews by their ticket's id."""
        found: dict[str, list[Routed | Review]] = {}
        for end in self.ends:
            if isinstance(end, Routed | Review):
                found.setdefault(end.ticket_id, []).append(end)
        return found

    async def send(
        self, name: str, value: bytes | None, key: bytes | None, producer: AIOKafkaProducer, topic: str = "tickets"
    ) -> None:
        """Send one record as it is."""
        at = await producer.send_and_wait(f"{self.settings.topics.prefix}{topic}", key=key, value=value)
        self.places[name] = f"{at.topic}/{at.partition}/{at.offset}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Read what ends tickets until the condition holds; raises what the worker raised if it ended."""
        prefix = self.settings.topics.prefix
        self.ends.clear()
        topics = ("routed", "reviews", "dead-letters")
        async with (
            asyncio.timeout(PATIENCE_S),
            reader(topics, self.settings.broker.connection, prefix=prefix) as consumer,
        ):
            while not condition():
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the worker has ended")
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    decoded = [decode(record, prefix) for record in records]
                    assert None not in decoded
                    self.ends += [message for message in decoded if message is not None]


@asynccontextmanager
async def pipeline(
    broker: Broker,
    models: ModelServer,
    folder: Path,
    *,
    agents: Sequence[AgentName] = AGENTS,
    policy: Policy | None = None,
    change: Callable[[Settings], Settings] = lambda settings: settings,
) -> AsyncIterator[Pipeline]:
    """Create topics, run a worker with the demo's settings after the ``change``, and stop it in good order."""
    connection, prefix = local_connection(broker), f"test-{secrets.token_hex(4)}."
    settings = change(demo_settings(connection, models.url, models.labels, policy or Policy(), folder, prefix))
    await create_topics(connection, prefix=prefix, partitions=_PARTITIONS, replication=1)
    worker = Worker(settings, agents)
    task = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({task, asyncio.ensure_future(worker.ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        yield Pipeline(settings, worker, task)
    finally:
        worker.stop()
        await task


@asynccontextmanager
async def raw_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that sends whatever bytes it is given, up to the size that the tickets topic takes."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker.bootstrap, max_request_size=3 * 1024 * 1024)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()

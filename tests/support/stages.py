"""Topics of one test on a real broker: what goes in, what comes out, what is committed, and services in between."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas import TOPICS, DeadLetter, Message, Ticket, Verdict
from streams.delivery.ledger import decode_finished
from streams.delivery.observer import Observer
from streams.delivery.service import StageService
from streams.delivery.stage import Delivery, Limits, Stage
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.sandbox.brokers.broker import Broker

#: No wait in these tests is expected to come near it.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What the broker keeps of one partition's commit: the offset, and the finished offsets beyond it."""

    offset: int
    finished: frozenset[int]


class Watch(Observer):
    """What one service reports, and a way to wait for it."""

    def __init__(self) -> None:
        self.handled_count = 0
        self.in_progress = 0
        self.skips: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.rebalances: list[int] = []
        self.low: dict[int, int] = {}
        self._changed = asyncio.Event()

    def handled(self, agent: str, outputs: Sequence[Message], seconds: float) -> None:
        self.handled_count += 1
        self._changed.set()

    def skipped(self, agent: str, why: str, count: int) -> None:
        self.skips[why] += count
        self._changed.set()

    def retried(self, agent: str, reason: str) -> None:
        self.retries[reason] += 1
        self._changed.set()

    def in_flight(self, agent: str, count: int, queued: int) -> None:
        self.in_progress = count
        self._changed.set()

    def committed(self, agent: str, topic: str, partition: int, offset: int, lag: int) -> None:
        self.low[partition] = offset
        self._changed.set()

    def rebalanced(self, agent: str, partitions: int, seconds: float) -> None:
        self.rebalances.append(partitions)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is looked at after every report."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Topics:
    """The topics of one test, under a prefix of their own, with clients to look into them."""

    def __init__(self, broker: Broker, producer: AIOKafkaProducer, admin: AIOKafkaAdminClient) -> None:
        self.broker = broker
        self.prefix = f"t{uuid.uuid4().hex[:10]}."
        self.ends: dict[int, int] = {}
        self.places: dict[str, tuple[int, int]] = {}
        self._producer = producer
        self._admin = admin

    async def create(self, partitions: int, configs: dict[str, dict[str, str]]) -> None:
        names = ("tickets", "verdicts", "dead-letters")
        answer = await self._admin.create_topics(
            [
                NewTopic(self.prefix + name, partitions, 1, topic_configs=configs.get(name, TOPICS[name].config))
                for name in names
            ]
        )
        assert all(error[1] == 0 for error in answer.topic_errors), answer

    async def produce(self, tickets: Iterable[str], *, partition: int | None = None) -> None:
        """Send tickets with these ids; ``places`` tells where each lies, ``ends`` how long the partitions are."""
        await self.produce_raw(
            {name: Ticket(ticket_id=name, text="hello").encode() for name in tickets}, partition=partition
        )

    async def produce_raw(self, values: dict[str, bytes], *, partition: int | None = None) -> None:
        topic = self.prefix + "tickets"
        sent = [
            (key, await self._producer.send(topic, key=key.encode(), value=value, partition=partition))
            for key, value in values.items()
        ]
        for key, future in sent:
            place = await future
            self.places[key] = (place.partition, place.offset)
            self.ends[place.partition] = max(self.ends.get(place.partition, 0), place.offset + 1)

    async def consume(self, name: str, count: int) -> list[Any]:
        """Read a topic from its beginning until there are ``count`` messages, and what else is there by then."""
        topic = self.prefix + name
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.broker.bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, each) for each in await self._producer.partitions_for(topic)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[Any] = []
            async with asyncio.timeout(PATIENCE_S):
                while len(found) < count or await self._more(consumer, found):
                    await self._more(consumer, found)
            return found
        finally:
            await consumer.stop()

    async def _more(self, consumer: AIOKafkaConsumer, found: list[Any]) -> bool:
        fetched = await consumer.getmany(timeout_ms=300)
        for partition, batch in fetched.items():
            message = TOPICS[partition.topic.removeprefix(self.prefix)].message
            found.extend(message.decode(record.value) for record in batch)
        return bool(fetched)

    async def verdicts(self, count: int) -> list[str]:
        """Return the ticket ids on ``verdicts``, with repeats, once there are as many as expected."""
        found: list[Verdict] = await self.consume("verdicts", count)
        return [verdict.ticket_id for verdict in found]

    async def letters(self, count: int) -> list[DeadLetter]:
        """Return the dead letters, once there are as many as expected."""
        return await self.consume("dead-letters", count)

    async def stored(self, agent: str) -> dict[int, Stored]:
        """Return what the broker keeps of the agent's commits."""
        topic = self.prefix + "tickets"
        wanted = [TopicPartition(topic, each) for each in await self._producer.partitions_for(topic)]
        found = await self._admin.list_consumer_group_offsets(self.prefix + agent, partitions=wanted)
        return {
            tp.partition: Stored(at.offset, decode_finished(at.offset, at.metadata or ""))
            for tp, at in found.items()
            if at.offset >= 0
        }

    def connection(self) -> Connection:
        """A connection with a group protocol as quick as both brokers allow."""
        return Connection(
            self.broker.bootstrap,
            session_timeout_s=3.0,
            heartbeat_s=0.3,
            rebalance_timeout_s=6.0,
            commit_interval_s=0.1,
        )

    @asynccontextmanager
    async def service(
        self,
        handler: Callable[[Any], Any],
        *,
        agent: str = "classify",
        failed: Callable[[StopWorker], None] | None = None,
        limits: Limits | None = None,
        delivery: Delivery = "at_least_once",
        **stage: Any,
    ) -> AsyncIterator[tuple[StageService, Watch]]:
        """A running service of one stage over ``tickets``; ``failed`` is only expected where it is given."""
        watch = Watch()
        failures: list[StopWorker] = []
        service = StageService(
            Stage(agent, TOPICS["tickets"], handler, **stage),
            self.connection(),
            prefix=self.prefix,
            failed=failed or failures.append,
            observer=watch,
            limits=limits,
            delivery=delivery,
        )
        await service.start()
        try:
            yield service, watch
        finally:
            await service.stop()
        assert not failures


@asynccontextmanager
async def topics_on(
    broker: Broker, *, partitions: int = 4, configs: dict[str, dict[str, str]] | None = None
) -> AsyncIterator[Topics]:
    """Topics of one test; ``configs`` replaces the registry's settings of some of them."""
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all", max_request_size=4 << 20)
        await producer.start()
        stack.push_async_callback(producer.stop)
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        stack.push_async_callback(admin.close)
        topics = Topics(broker, producer, admin)
        await topics.create(partitions, configs or {})
        yield topics


def verdict(ticket: Ticket) -> Verdict:
    """The output of these tests' stages, which tells which ticket it came from."""
    return Verdict(
        verdict_id=f"v-{ticket.ticket_id}",
        review_id="r",
        ticket_id=ticket.ticket_id,
        label="a",
        decided_by="test",
        at_ms=0,
    )

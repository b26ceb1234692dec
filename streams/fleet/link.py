"""Tells the other workers what this one used, leases and saw, and reads what they say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from schemas import TOPICS, InvalidMessage, WorkerState
from streams.aio import Changes
from streams.core.fleet import Member
from streams.errors import HedgerowError, Hold, StopWorker
from streams.kafka.connection import Connection
from streams.kafka.consumers import start_consumer, stop_consumer
from streams.kafka.diagnosis import refusal
from streams.kafka.producers import start_producer, stop_producer
from streams.kafka.topics import require_topics

log = structlog.get_logger(__name__)

_TOPIC = TOPICS["fleet"]
#: What has changed is told this often, seconds.
_EVERY_S = 1.0
#: A worker that has nothing to tell says so this often, seconds: it is live, and its lease goes on.
_ALIVE_EVERY_S = 15.0
#: While an endpoint is in trouble, sooner: another worker makes the trials in place of one that is not heard of.
_IN_TROUBLE_EVERY_S = 2.0
#: A worker that cannot read what is there does not start: it would use what others have used already.
_CATCH_UP_S = 60.0
_PAUSE_S = 1.0
_SAY_WITHIN_S = 10.0
_STOP_WAIT_S = 2.0


def group_of(prefix: str) -> str:
    """Return the name of the pipeline whose topics have this prefix."""
    return f"{prefix}hedgerow"


class FleetLink:
    """One worker's place on the topic. Everything is on its partition 0: of two workers that ask for the same, one is first."""

    def __init__(self, member: Member, connection: Connection, prefix: str, wall_ms: Callable[[], int]) -> None:
        self.member = member
        self._connection = connection
        self._prefix = prefix
        self._place = TopicPartition(prefix + _TOPIC.name, 0)
        self._wall_ms = wall_ms
        self._producer: AIOKafkaProducer | None = None
        self._saying = asyncio.Lock()
        self._changes = Changes()
        self._read_to = 0
        self._said_at_ms = 0

    @asynccontextmanager
    async def running(self, *, required: bool, failed: Callable[[StopWorker], None]) -> AsyncIterator[None]:
        """Read what was said and follow it, and tell what this worker uses; at the end, that it has stopped.

        Raises StopWorker if the topic is not there, or cannot be read or written, though it is ``required``, and ``failed``
        is called with one that comes later; else this worker goes on without the others.
        """
        async with AsyncExitStack() as stack:
            try:
                consumer = await self._open(stack)
            except StopWorker as problem:
                if required:
                    raise
                _go_alone(problem)
                yield
                return
            following = asyncio.create_task(self._follow(consumer, failed if required else _go_alone))
            telling = asyncio.create_task(self._keep_telling())
            following.add_done_callback(lambda _: telling.cancel())  # who hears nobody is not to be counted on
            tasks = [following, telling]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                with contextlib.suppress(HedgerowError):
                    await self._say(stopped=True, within_s=_STOP_WAIT_S)

    async def _open(self, stack: AsyncExitStack) -> AIOKafkaConsumer:
        """Return the consumer once all that was said is read, and this worker has said that it is there."""
        await require_topics(self._connection, self._prefix, [_TOPIC.name])
        self._producer = producer = await start_producer(self._connection)
        stack.push_async_callback(stop_producer, producer)
        consumer = await start_consumer(self._connection)
        stack.push_async_callback(stop_consumer, consumer)
        consumer.assign([self._place])
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await self._catch_up(consumer)
            await self._say()  # the others share what is left with this one from now on
        except (TimeoutError, Hold):
            raise StopWorker(f"the fleet topic cannot be read and written within {_CATCH_UP_S:g} s") from None
        except KafkaError as error:
            refused = refusal(error, self._connection.security)
            raise StopWorker(refused or f"the fleet topic cannot be read: {error!r}") from error
        return consumer

    def rank(self) -> int:
        """Return how many live workers come before this one; 0 as long as nothing is read."""
        return sum(worker < self.member.worker for worker in self.member.fleet.live(self._wall_ms()))

    async def announce(self) -> None:
        """Tell the others the state of this worker, and return once all that they said before it is read.

        Raises Hold if the broker does not take it, or does not give it back, within ten seconds.
        """
        try:
            async with asyncio.timeout(_SAY_WITHIN_S):
                offset = await self._say()
                while self._read_to <= offset:
                    await self._changes.next()
        except TimeoutError:
            raise self._hold() from None

    async def _say(self, *, stopped: bool = False, within_s: float = _SAY_WITHIN_S) -> int:
        """Send this worker's state, and return its offset.

        Raises Hold if the broker does not take it, and StopWorker if it never will.
        """
        assert self._producer is not None, "nothing is said before the link is running"
        async with self._saying:
            state = self.member.state(self._wall_ms(), stopped=stopped)
            try:
                async with asyncio.timeout(within_s):
                    at = await self._producer.send_and_wait(
                        self._place.topic, state.encode(), _TOPIC.key_of(state), partition=self._place.partition
                    )
            except (KafkaError, TimeoutError) as error:
                if refused := refusal(error, self._connection.security):
                    raise StopWorker(refused) from error
                raise self._hold() from error
            self.member.said(state)
            self._said_at_ms = state.at_ms
            return int(at.offset)

    def _hold(self) -> Hold:
        async def over() -> None:
            await self._changes.until(lambda: False, _PAUSE_S)

        return Hold("the other workers cannot be told of what this one needs", over)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            self.member.fleet.forget_old(self._wall_ms())
            self.member.give_back(self._wall_ms())
            silent_s = (self._wall_ms() - self._said_at_ms) / 1000
            pause_s = _IN_TROUBLE_EVERY_S if self.member.is_in_trouble else _ALIVE_EVERY_S
            if self.member.has_news or silent_s >= pause_s:
                with contextlib.suppress(HedgerowError):
                    await self._say()

    async def _catch_up(self, consumer: AIOKafkaConsumer) -> None:
        await consumer.seek_to_beginning(self._place)
        end = (await consumer.end_offsets([self._place]))[self._place]
        latest: dict[bytes, ConsumerRecord] = {}
        while await consumer.position(self._place) < end:
            for record in await self._records(consumer):
                latest[record.key or b""] = record  # of each worker only its last state counts
        self._take(latest.values())

    async def _follow(self, consumer: AIOKafkaConsumer, failed: Callable[[StopWorker], None]) -> None:
        while True:
            try:
                await self._read(consumer)
            except KafkaError as error:
                # An unavailable broker is none of these: aiokafka waits for it.
                line = refusal(error, self._connection.security)
                failed(StopWorker(line or f"the fleet topic can no longer be read: {error!r}"))
                return

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        self._take(await self._records(consumer))
        self._changes.note()

    async def _records(self, consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
        found: list[ConsumerRecord] = (await consumer.getmany(timeout_ms=1_000)).get(self._place, [])
        if found:
            self._read_to = found[-1].offset + 1
        return found

    def _take(self, records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            if record.value is None:
                continue
            try:
                state = WorkerState.decode(record.value)
            except InvalidMessage as problem:
                log.warning("not a worker's state", offset=record.offset, problem=str(problem))
                continue
            self.member.update(state, self._wall_ms())


def _go_alone(problem: StopWorker) -> None:
    log.info("workers tell one another nothing: each raises its own alerts", problem=str(problem))

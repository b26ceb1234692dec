"""What every round stands on: one broker, one model server, and the processes of one arm on topics of their own."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import yaml
from aiokafka import AIOKafkaProducer
from aiokafka.errors import GroupCoordinatorNotAvailableError

from benchmarks.pipeline.arms import Arm
from benchmarks.pipeline.outcomes import Outcomes, watching
from benchmarks.pipeline.tickets import tickets
from benchmarks.pipeline.usage import cpu_seconds, rss_mb
from schemas import Message, topic_of
from streams.demo.run import local_connection
from streams.kafka.connection import Connection
from streams.kafka.producers import start_producer
from streams.kafka.topics import admin_client, create_topics
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.brokers.kafka_jars import LONG_RUN
from streams.sandbox.model_server.served import BIG, CHEAP
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess
from streams.sandbox.tickets import TRAIN
from streams.settings import MemorySettings, Settings, check_settings

PARTITIONS = 8
_PATIENCE_S = 60.0
_WARM_UP = 100
_CHUNK = 2000
#: Arrivals are stamped by the broker, in whole milliseconds: when a message is there for the next reader.
_BROKER_TIME = {"log.message.timestamp.type": "LogAppendTime"}


@dataclass
class Running:
    """The processes of one arm at work, warm, and what comes out of them."""

    connection: Connection
    prefix: str
    processes: Sequence[ChildProcess]
    outcomes: Outcomes
    producer: AIOKafkaProducer
    store: Path
    sent: dict[str, float] = field(default_factory=dict)
    """When each ticket was sent (``time.time``)."""

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of all processes so far."""
        return sum(cpu_seconds(process.pid) for process in self.processes)

    @property
    def rss_mb(self) -> float:
        """The resident memory of all processes, MiB."""
        return sum(rss_mb(process.pid) for process in self.processes)

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages to their topic, and wait until the broker has them."""
        now = time.time()
        futures = []
        for message in messages:
            topic = topic_of(message)
            key = topic.key_of(message)
            self.sent[key.decode()] = now
            futures.append(await self.producer.send(self.prefix + topic.name, message.encode(), key))
        await asyncio.gather(*futures)

    async def send_all(self, messages: Sequence[Message]) -> None:
        """Send many messages, a chunk at a time."""
        for start in range(0, len(messages), _CHUNK):
            await self.send(messages[start : start + _CHUNK])

    async def pace(self, messages: Sequence[Message], per_second: float) -> None:
        """Send messages at an even rate."""
        began, done = time.perf_counter(), 0
        while done < len(messages):
            due = min(len(messages), int((time.perf_counter() - began) * per_second) + 1)
            await self.send(messages[done:due])
            done = due
            await asyncio.sleep(max(0.0, began + done / per_second - time.perf_counter()))

    async def finished(self, count: int) -> float:
        """Wait until so many tickets have an outcome and the reviews are stored; return when that was (``time.time``)."""
        try:
            await self.outcomes.until(count, _PATIENCE_S, lambda: all(process.alive for process in self.processes))
        except TimeoutError:
            words = "\n".join(process.tail() for process in self.processes)
            raise SystemExit(f"{len(self.outcomes.tickets)} of {count} tickets have an outcome; {words}") from None
        last = max(outcome.at for outcome in self.outcomes.tickets.values())
        reviews = self.outcomes.routes["reviews"]
        if self.stored() >= reviews:
            return last
        while self.stored() < reviews:  # noqa: ASYNC110 - another process stores them
            await asyncio.sleep(0.01)
        return time.time()

    def stored(self) -> int:
        """Return how many reviews are in the store."""
        try:
            with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True) as database:
                return int(database.execute("SELECT count(*) FROM hedgerow_reviews").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # nobody has made it yet


class Stand:
    """The broker and the model server; ``running`` starts an arm."""

    def __init__(self, broker: LocalKafka, model_port: int, folder: Path, cores: Sequence[int]) -> None:
        self.connection = local_connection(broker)
        self._broker = broker
        self._model_port = model_port
        self._folder = folder
        self._cores = cores
        self._numbers = itertools.count()

    @property
    def broker_cpu_seconds(self) -> float:
        """The broker's CPU time so far."""
        return sum(cpu_seconds(pid) for pid in self._broker.pids)

    async def embedding_ms(self) -> float:
        """Return what the embedding of a ticket costs in batches, on the core of the arms, milliseconds of CPU."""
        command = [sys.executable, "-m", "benchmarks.pipeline.embedding"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=_environment())
        os.sched_setaffinity(process.pid, {self._cores[-1]})
        said, _ = await process.communicate()
        return float(said)

    @asynccontextmanager
    async def running(
        self,
        arm: Arm,
        *,
        workers: int = 1,
        latency_ms: float = 20.0,
        in_flight: int = 256,
        warm: bool = True,
        apart: bool = True,
    ) -> AsyncIterator[Running]:
        """Run so many processes of an arm on fresh topics, through which a few tickets have gone already.

        ``apart``: on the core that nothing else runs on; else on all of them.
        """
        folder = self._folder / f"{next(self._numbers)}-{arm.name}"
        folder.mkdir()
        prefix = f"{folder.name}."
        settings = self._settings(prefix, folder, latency_ms, in_flight)
        if arm.has_memory:
            settings = settings.model_copy(update={"memory": MemorySettings(file=str(TRAIN))})
        await create_topics(self.connection, prefix=prefix, partitions=PARTITIONS, replication=1)
        config = folder / "settings.yaml"
        config.write_text(yaml.safe_dump(settings.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
        async with AsyncExitStack() as stack:
            outcomes = await stack.enter_async_context(watching(self.connection, prefix))
            producer = await start_producer(self.connection)
            stack.push_async_callback(producer.stop)
            processes = []
            for number in range(workers):
                process = ChildProcess(arm.command(config), output=folder / f"{number}.log", env=_environment())
                os.sched_setaffinity(process.pid, {self._cores[-1]} if apart else self._cores)
                stack.push_async_callback(process.stop, 15.0)
                processes.append(process)
            running = Running(self.connection, prefix, processes, outcomes, producer, folder / "reviews.db")
            await self._joined(prefix + arm.group, workers, processes)
            if warm:
                await running.send_all(tickets(_WARM_UP, "warm"))
                await running.finished(_WARM_UP)
                outcomes.tickets.clear()
            yield running

    async def _joined(self, group: str, members: int, processes: Sequence[ChildProcess]) -> None:
        """Wait until the group has so many members."""
        async with asyncio.timeout(_PATIENCE_S), admin_client(self.connection) as admin:
            while True:
                state, present = await _group(admin, group)
                if state == "Stable" and present == members:
                    return
                for process in processes:
                    if not process.alive:
                        raise SystemExit(f"a process has ended:\n{process.tail()}")
                await asyncio.sleep(0.1)

    def _settings(self, prefix: str, folder: Path, latency_ms: float, in_flight: int) -> Settings:
        url = f"http://127.0.0.1:{self._model_port}/{latency_ms:g}/v1"
        tier = {"base_url": url, "concurrency": in_flight}
        connection = self.connection
        values = {
            "broker": {
                "bootstrap": connection.bootstrap,
                "session_timeout_s": connection.session_timeout_s,
                "heartbeat_s": connection.heartbeat_s,
                "rebalance_timeout_s": connection.rebalance_timeout_s,
            },
            "topics": {"prefix": prefix, "partitions": PARTITIONS},
            "labels": sorted({row["label"] for row in map(orjson.loads, TRAIN.read_bytes().splitlines())}),
            "tiers": {"cheap": {**tier, "model": CHEAP}, "big": {**tier, "model": BIG}},
            "review": {"url": f"sqlite:///{folder / 'reviews.db'}"},
            # As the defaults: a quarter more than the endpoint takes.
            "worker": {"in_flight": in_flight * 5 // 4, "stop_wait_s": 5.0},
        }
        return check_settings(values, "benchmark")


async def _group(admin: object, group: str) -> tuple[str, int]:
    """Return a consumer group's state and how many members it has."""
    try:
        [response] = await admin.describe_consumer_groups([group])  # type: ignore[attr-defined]
    except GroupCoordinatorNotAvailableError:
        return "", 0  # the broker's first group: its topic of offsets is being made
    _, _, state, _, _, members, *_ = response.groups[0]
    return state, len(members)


def _environment() -> dict[str, str]:
    """Numerical libraries get one thread: all that the programs compute is small."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


@asynccontextmanager
async def standing(folder: Path, jvm_flags: Sequence[str] = LONG_RUN) -> AsyncIterator[Stand]:
    """Yield a stand on one local Apache Kafka with these flags of the JVM and one model server, gone afterwards.

    One core is left to the arms, as in a cluster the broker and the models run on machines of their own.
    """
    cores = sorted(os.sched_getaffinity(0))
    async with AsyncExitStack() as stack:
        os.sched_setaffinity(0, cores[:-1] or cores)
        stack.callback(os.sched_setaffinity, 0, cores)
        broker = await stack.enter_async_context(LocalKafka(jvm_flags=jvm_flags, extra=_BROKER_TIME))
        port = stack.enter_context(ReservedPort())
        command = [sys.executable, "-m", "benchmarks.pipeline.model_server", "--port", str(port.number)]
        models = ChildProcess(command, output=folder / "models.log", env=_environment())
        stack.push_async_callback(models.stop, 5.0)
        await _listening(port.number, models)
        yield Stand(broker, port.number, folder, cores)


async def _listening(port: int, process: ChildProcess) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while process.alive:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return
    raise SystemExit(f"the model server has ended:\n{process.tail()}")

"""How long a drift agent takes to know again, after a restart, what a year of probes told."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition

from benchmarks.drift.pipeline import HOUR_MS, PREFIX, START_MS
from schemas import TOPICS, Probe, stable_id
from streams.agents.drift_memory import DriftMemory, Place, Placed
from streams.demo.run import local_connection
from streams.kafka.connection import Connection
from streams.kafka.history import history, start_consumer
from streams.kafka.producers import MAX_BATCH_BYTES
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.simulated_probes import Endpoint, probe_rows
from streams.worker.drift_states import DriftStates
from streams.worker.stages import placed

PARTITIONS = 4
SIZES = {"small": {"endpoints": 20, "rows": 2_600}, "full": {"endpoints": 200, "rows": 8_766}}
"""Small: a little more than a kept state of each partition; full: a year."""
DETECTORS = ("lt-ref",)


async def measure(broker: str, endpoints: int, rows: int) -> dict[str, float]:
    """Seconds of wall clock and of CPU, and probes read, at the first start and at a restart with kept states."""
    async with LocalKafka() if broker == "kafka" else EmbeddedBroker() as server:
        connection = local_connection(server)
        await create_topics(connection, prefix=PREFIX, partitions=PARTITIONS, replication=1)
        await fill(connection, endpoints, rows)
        ends = await _ends(connection)
        found: dict[str, float] = {"probes": endpoints * rows, "endpoints": endpoints}
        with tempfile.TemporaryDirectory() as folder:
            for what in ("first start", "restart"):
                reading = Reading(connection)
                memory = DriftMemory(DETECTORS, reading.probes, DriftStates(Path(folder), DETECTORS))
                began, cpu = time.perf_counter(), time.process_time()
                await memory.catch_up(ends)
                found |= {
                    f"{what}, s": time.perf_counter() - began,
                    f"{what}, CPU s": time.process_time() - cpu,
                    f"{what}, probes read": reading.count,
                }
            found["state, MB"] = _size(Path(folder)) / 1e6
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


class Reading:
    """Reads the topic as a worker does, and counts."""

    def __init__(self, connection: Connection) -> None:
        self.count = 0
        self._connection = connection

    async def probes(self, since: Mapping[Place, int], before: Mapping[Place, int]) -> AsyncIterator[Placed]:
        """Yield the probes between these offsets."""
        async for record in history(self._connection, before, 10_000_000, since):
            self.count += 1
            yield placed(record)


async def _ends(connection: Connection) -> dict[Place, int]:
    topic = PREFIX + TOPICS["probes"].name
    consumer = await start_consumer(connection)
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
    finally:
        await consumer.stop()
    return {(topic, partition.partition): end for partition, end in ends.items()}


async def fill(connection: Connection, endpoints: int, rows: int) -> None:
    """Put hourly probes on their topic; one endpoint in ten changes, half way."""
    producer = AIOKafkaProducer(
        bootstrap_servers=connection.bootstrap, max_batch_size=MAX_BATCH_BYTES, linger_ms=20, compression_type="gzip"
    )
    await producer.start()
    topic, key = PREFIX + TOPICS["probes"].name, TOPICS["probes"].key_of
    series = [messages(number, rows) for number in range(endpoints)]
    sent: list[asyncio.Future[object]] = []
    for _ in range(rows):
        for each in series:
            probe = next(each)
            sent.append(await producer.send(topic, probe.encode(), key(probe)))
        if len(sent) >= 20_000:
            await asyncio.gather(*sent)
            sent.clear()
    await asyncio.gather(*sent)
    await producer.stop()


@lru_cache
def simulated(seed: int, rows: int) -> list[bytes]:
    """Rows as JSON: a fifth of the room that they take otherwise."""
    endpoint = Endpoint(change_at=rows // 2 if seed % 10 == 0 else None, change_rms=0.3, missing=0.02, errors=0.02)
    return [orjson.dumps(row) for row in probe_rows(endpoint, rows, seed)]


def messages(endpoint: int, rows: int) -> Iterator[Probe]:
    """Probes of one endpoint; every twentieth has the same logprobs."""
    name = f"endpoint-{endpoint}"
    for index, line in enumerate(simulated(endpoint % 20, rows)):
        row = orjson.loads(line)
        yield Probe(
            probe_id=stable_id("probe", name, str(index)),
            endpoint=name,
            at_ms=START_MS + index * HOUR_MS,
            model_asked="sandbox-cheap",
            logprobs=row["logprobs"],
            error=row["error"],
        )

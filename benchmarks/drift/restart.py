"""How long a drift agent takes to know again, after a restart, what a year of probes told."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from benchmarks.drift.pipeline import HOUR_MS, PREFIX, START_MS
from benchmarks.drift.stopwatch import Stopwatch
from schemas import TOPICS, Probe, stable_id
from streams.agents.drift_memory import DriftMemory, Place, Placed
from streams.core.drift.series import DriftLimits
from streams.demo.run import local_connection
from streams.kafka.connection import Connection
from streams.kafka.history import history
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
    """Seconds of wall clock and of CPU, and probes read, at the first start and at a restart with kept states.

    The first start reads of each partition what a worker does that has no state: the last ``drift.replay_rows``.
    """
    async with LocalKafka() if broker == "kafka" else EmbeddedBroker() as server:
        connection = local_connection(server)
        await create_topics(connection, prefix=PREFIX, partitions=PARTITIONS, replication=1)
        ends = await fill(connection, endpoints, rows)
        found: dict[str, float] = {"probes": endpoints * rows, "endpoints": endpoints}
        with tempfile.TemporaryDirectory() as folder:
            for what in ("first start", "restart"):
                reading = Reading(connection)
                memory = DriftMemory(DETECTORS, reading.probes, DriftStates(Path(folder), DETECTORS))
                stopwatch = Stopwatch()
                await memory.catch_up(ends)
                spent = stopwatch.read()
                found |= {
                    f"{what}, s": spent.wall,
                    f"{what}, alone s": spent.alone,
                    f"{what}, CPU s": spent.cpu,
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
        async for record in history(self._connection, before, DriftLimits().replay_rows, since):
            self.count += 1
            yield placed(record)


async def fill(connection: Connection, endpoints: int, rows: int, prefix: str = PREFIX) -> dict[Place, int]:
    """Put hourly probes on their topic, hour by hour, and return where each partition ends.

    Whole batches are made here: the producer takes several times as long for a message that it is given alone. The
    broker is not asked for the ends, because the embedded one names the beginning of its last batch.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=connection.bootstrap, max_batch_size=MAX_BATCH_BYTES, compression_type="lz4"
    )
    await producer.start()
    topic = prefix + TOPICS["probes"].name
    ends = await asyncio.gather(
        *(_fill_partition(producer, topic, number, endpoints, rows) for number in range(PARTITIONS))
    )
    await producer.stop()
    return {(topic, number): end for number, end in enumerate(ends) if end}


async def _fill_partition(producer: AIOKafkaProducer, topic: str, number: int, endpoints: int, rows: int) -> int:
    key = TOPICS["probes"].key_of
    series = [messages(endpoint, rows) for endpoint in range(number, endpoints, PARTITIONS)]
    batch, sent = producer.create_batch(), 0
    for probe in (probe for hour in zip(*series, strict=True) for probe in hour):
        value = probe.encode()
        if batch.append(key=key(probe), value=value, timestamp=None) is None:
            sent += await _send(producer, batch, topic, number)
            batch = producer.create_batch()
            batch.append(key=key(probe), value=value, timestamp=None)
    return sent + await _send(producer, batch, topic, number)


async def _send(producer: AIOKafkaProducer, batch: Any, topic: str, number: int) -> int:
    count: int = batch.record_count()
    if count:
        await (await producer.send_batch(batch, topic, partition=number))
    return count


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

"""The whole path from probes to alerts through a broker, as a worker runs it: updates a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaProducer

from benchmarks.drift.stopwatch import Spent, Stopwatch
from schemas import TOPICS, Message, Probe, stable_id
from streams.agents.drift import DriftHandler
from streams.agents.drift_memory import Placed
from streams.delivery.observer import Observer
from streams.delivery.service import StageService
from streams.delivery.stage import Stage
from streams.demo.run import local_connection
from streams.kafka.connection import Connection
from streams.kafka.producers import MAX_BATCH_BYTES
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.simulated_probes import Endpoint, probe_rows
from streams.worker.stages import placed

PREFIX = "drift."
ROWS = 400
START_MS, HOUR_MS = 1_700_000_000_000, 3_600_000


def probes_of(endpoint: int) -> list[Probe]:
    """Hourly probes of one endpoint; every other endpoint changes at row 300."""
    simulated = Endpoint(change_at=300 if endpoint % 2 else None, change_rms=0.3, missing=0.02, errors=0.02)
    name = f"endpoint-{endpoint}"
    return [
        Probe(
            probe_id=stable_id("probe", name, str(index)),
            endpoint=name,
            at_ms=START_MS + index * HOUR_MS,
            model_asked="sandbox-cheap",
            logprobs=row["logprobs"],
            error=row["error"],
        )
        for index, row in enumerate(probe_rows(simulated, ROWS, endpoint, name))
    ]


class Timer(Observer):
    """What this process spent from the first probe handled to the last; counts the alerts."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._stopwatch: Stopwatch | None = None
        self.done = asyncio.Event()
        self.alerts = 0
        self.spent = Spent(0.0, 0.0, 0.0)

    def begin(self) -> None:
        """Note the first probe."""
        if self._stopwatch is None:
            self._stopwatch = Stopwatch()

    def handled(self, agent: str, outputs: Sequence[Message], seconds: float) -> None:
        """Note a probe whose alerts are acknowledged."""
        del agent, seconds
        self.alerts += len(outputs)
        self._left -= 1
        if self._left == 0 and self._stopwatch is not None:
            self.spent = self._stopwatch.read()
            self.done.set()


async def nothing(*_: object) -> AsyncIterator[Placed]:
    """No history: every probe is handled live."""
    none: tuple[Placed, ...] = ()
    for each in none:
        yield each


async def run(connection: Connection, detector: str, total: int) -> Timer:
    """Watch the probes on the topic with one detector."""
    timer = Timer(total)
    watch = DriftHandler([detector], "policy", nothing)

    def timed(placed: Placed) -> Sequence[Message]:
        timer.begin()
        return watch(placed)

    stage = Stage(f"drift-{detector}", TOPICS["probes"], timed, once=False, memory=watch.memory, read=placed)
    service = StageService(stage, connection, prefix=PREFIX, failed=print, observer=timer)
    await service.start()
    await timer.done.wait()
    await service.stop()
    return timer


async def measure(broker: str, endpoints: int, detectors: Sequence[str]) -> dict[str, dict[str, float]]:
    """Updates per second of wall clock and of CPU, and alerts, by detector; ``alone``: without other work on the machine."""
    found = {}
    async with LocalKafka() if broker == "kafka" else EmbeddedBroker() as server:
        connection = local_connection(server)
        await create_topics(connection, prefix=PREFIX, partitions=4, replication=1)
        await fill(connection, endpoints)
        total = endpoints * ROWS
        for detector in detectors:
            timer = await run(connection, detector, total)
            found[detector] = {
                "probes": total,
                "alerts": timer.alerts,
                "per_second": total / timer.spent.wall,
                "per_second_alone": total / timer.spent.alone,
                "per_cpu_second": total / timer.spent.cpu,
            }
    return found


async def fill(connection: Connection, endpoints: int) -> None:
    """Put the probes on their topic, hour by hour."""
    producer = AIOKafkaProducer(bootstrap_servers=connection.bootstrap, max_batch_size=MAX_BATCH_BYTES)
    await producer.start()
    topic = TOPICS["probes"]
    for hour in zip(*(probes_of(endpoint) for endpoint in range(endpoints)), strict=True):
        sent = [await producer.send(PREFIX + topic.name, probe.encode(), topic.key_of(probe)) for probe in hour]
        await asyncio.gather(*sent)
    await producer.stop()

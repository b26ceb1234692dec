"""What exactly once costs: the same worker, broker and models in both modes, one after the other.

``python -m benchmarks.delivery_modes --tickets N --rounds R --report FILE``. One node of Apache Kafka, one worker process with all
four agents, the sandbox's model server with 20 ms a call. ``tickets_per_second``: so many tickets at once, until the last one is
decided. ``p50_ms`` and ``p99_ms``: from a ticket's send to its result in the hands of a consumer of committed messages, at a load of
``--rate`` tickets a second. The median of the rounds is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import uvloop
import yaml
from aiokafka import AIOKafkaProducer

from benchmarks.chaos.__main__ import ticket_lines
from schemas import Review, Routed
from streams.agents.registry import AGENTS
from streams.core.policy.policy import Policy
from streams.delivery.stage import Delivery
from streams.demo.run import demo_settings, local_connection
from streams.kafka.produce import produce
from streams.kafka.readers import decode, reader
from streams.kafka.topics import create_topics
from streams.observability.logs import configure_logging
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.process import ChildProcess
from streams.sandbox.tickets import TRAIN
from streams.settings import Settings

_WARM_UP = 200
_PATIENCE_S = 240.0


class Arrivals:
    """When each ticket's outcome arrived, by ticket id."""

    def __init__(self, consumer: Any, prefix: str) -> None:
        self.at: dict[str, float] = {}
        self._consumer = consumer
        self._prefix = prefix

    async def until(self, count: int) -> None:
        """Read until so many tickets have an outcome."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.at) < count:
                for records in (await self._consumer.getmany(timeout_ms=100)).values():
                    now = time.perf_counter()
                    for record in records:
                        message = decode(record, self._prefix)
                        if isinstance(message, Routed | Review):
                            self.at.setdefault(message.ticket_id, now)


@asynccontextmanager
async def worker(settings: Settings, folder: Path) -> AsyncIterator[Arrivals]:
    """Run a worker process on topics of its own, warmed up."""
    connection, prefix = settings.broker.connection, settings.topics.prefix
    await create_topics(connection, prefix=prefix, partitions=settings.topics.partitions, replication=1)
    config = folder / f"{prefix}yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, "-m", "streams.cli", "worker", "--config", str(config), "--agents", ",".join(AGENTS)]
    process = ChildProcess(command, output=folder / f"{prefix}log")
    try:
        async with reader(("routed", "reviews"), connection, prefix=prefix) as consumer:
            await produce(ticket_lines(_WARM_UP, "warm"), connection, prefix=prefix)
            arrivals = Arrivals(consumer, prefix)
            await arrivals.until(_WARM_UP)
            yield arrivals
    finally:
        await process.stop(15.0)


async def throughput(settings: Settings, arrivals: Arrivals, tickets: int) -> float:
    """Send so many tickets at once; return tickets a second until the last outcome."""
    began, before = time.perf_counter(), len(arrivals.at)
    lines = ticket_lines(tickets, "bulk")
    await asyncio.gather(
        produce(lines, settings.broker.connection, prefix=settings.topics.prefix), arrivals.until(before + tickets)
    )
    return tickets / (max(arrivals.at.values()) - began)


async def latencies(settings: Settings, arrivals: Arrivals, tickets: int, rate: float) -> list[float]:
    """Send tickets at a steady rate; return milliseconds from send to outcome."""
    sent: dict[str, float] = {}
    before = len(arrivals.at)

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=settings.broker.bootstrap) as producer:
            began = time.perf_counter()
            for number, line in enumerate(ticket_lines(tickets, "paced")):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                key = json.loads(line)["ticket_id"]
                sent[key] = time.perf_counter()
                await producer.send(f"{settings.topics.prefix}tickets", line, key.encode())

    await asyncio.gather(send(), arrivals.until(before + tickets))
    return [1000 * (arrivals.at[key] - at) for key, at in sent.items()]


async def measure(
    mode: Delivery, round_: int, broker: Broker, models: ModelServer, folder: Path, tickets: int, rate: float
) -> dict[str, float]:
    """Run one mode once."""
    prefix = f"{mode}-{round_}."
    settings = demo_settings(local_connection(broker), models.url, models.labels, Policy(), folder, prefix=prefix)
    async with worker(settings.model_copy(update={"delivery": mode}), folder) as arrivals:
        found = sorted(await latencies(settings, arrivals, max(200, int(5 * rate)), rate))
        return {
            "tickets_per_second": await throughput(settings, arrivals, tickets),
            "p50_ms": statistics.median(found),
            "p99_ms": found[int(0.99 * len(found))],
        }


async def run(tickets: int, rounds: int, rate: float) -> dict[str, dict[str, float]]:
    """Measure both modes in turn, round by round; return the median of each figure."""
    modes: tuple[Delivery, ...] = get_args(Delivery)
    found: dict[Delivery, list[dict[str, float]]] = {mode: [] for mode in modes}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hedgerow-modes-")))
        broker, models = LocalKafka(), ModelServer(TRAIN, latency_ms=20.0)
        await asyncio.gather(stack.enter_async_context(broker), stack.enter_async_context(models))
        for round_ in range(rounds):
            for mode in modes:
                found[mode].append(await measure(mode, round_, broker, models, folder, tickets, rate))
                print(mode, found[mode][-1], file=sys.stderr, flush=True)
    return {
        mode: {name: round(statistics.median(each[name] for each in rows), 1) for name in rows[0]}
        for mode, rows in found.items()
    }


def main() -> None:
    """Measure, print, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--report", type=Path)
    parsed = vars(parser.parse_args())
    report: Path | None = parsed.pop("report")
    configure_logging(level="error", libraries=50)
    figures = uvloop.run(run(**parsed))
    print(json.dumps(figures, indent=1))
    if report:
        report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

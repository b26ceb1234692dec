"""A broker that freezes or dies under a worker process: few lines in the log, /ready says why, and every ticket ends after."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas import Ticket
from streams.kafka.send import publish
from streams.models.probed_endpoint import ProbedEndpoint, ProbedEndpoints
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.process import ChildProcess
from streams.settings import Settings
from tests.chaos.test_standstill import COUNT, PATIENCE_S, Supervised, supervised
from tests.support.brokers import require_kafka

OUTAGE_S = 15.0
MORE = [Ticket(ticket_id=f"m-{number}", text="Where is my parcel?") for number in range(COUNT)]
Broker = EmbeddedBroker | LocalKafka


@asynccontextmanager
async def frozen(broker: Broker) -> AsyncIterator[None]:
    for pid in broker.pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in broker.pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def killed(broker: Broker) -> AsyncIterator[None]:
    assert isinstance(broker, LocalKafka)
    await broker.kill(0)
    yield
    await broker.restart(0)
    await broker.wait_ready()


async def ready(pipeline: Supervised, holds: Callable[[int, str], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status, text = await pipeline.page("/ready")
            if status and holds(status, json.loads(text)["broker"]):
                return
            await asyncio.sleep(0.05)


kafka = pytest.mark.kafka


@pytest.mark.parametrize(
    ("kind", "outage", "delivery"),
    [
        (EmbeddedBroker, frozen, "at_least_once"),
        pytest.param(LocalKafka, frozen, "at_least_once", marks=kafka),
        pytest.param(LocalKafka, killed, "at_least_once", marks=kafka),
        pytest.param(LocalKafka, frozen, "exactly_once", marks=kafka),
        pytest.param(LocalKafka, killed, "exactly_once", marks=kafka),
    ],
)
async def test_a_broker_outage_is_a_few_lines_in_the_log_and_loses_no_ticket(
    kind: type[Broker],
    outage: Callable[[Broker], Awaitable[None]],
    delivery: str,
    model_server: ModelServer,
    tmp_path: Path,
) -> None:
    if kind is LocalKafka:
        require_kafka()

    def delivered(settings: Settings) -> Settings:
        return settings.model_copy(update={"delivery": delivery})

    async with kind() as broker, supervised(broker, model_server, tmp_path, delivered) as pipeline:
        worker = pipeline.well()
        try:
            await pipeline.until_ready(worker)
            connection, prefix = pipeline.settings.broker.connection, pipeline.settings.topics.prefix
            await publish(MORE, connection, prefix=prefix)
            before = len(worker.tail(10_000).splitlines())
            async with outage(broker):
                await ready(pipeline, lambda status, broker: status == 503 and "Kafka broker" in broker)
                assert (await pipeline.page("/health"))[0] == 200
                await asyncio.sleep(OUTAGE_S)  # what is said in this time is looked at
            await ready(pipeline, lambda status, broker: status == 200 and broker == "answers")
            ends = await pipeline.outcomes(2 * COUNT)
            assert len({end.ticket_id for end in ends}) == 2 * COUNT
            said = worker.tail(10_000).splitlines()[before:]
        finally:
            await worker.stop(PATIENCE_S)
    assert len(said) < 10, said
    text = "\n".join(said)
    assert text.count("the broker is unavailable: work waits") == text.count("the broker answers again") == 1
    assert all(line.startswith("20") for line in said), said


@pytest.mark.parametrize(
    ("kind", "outage"),
    [
        (EmbeddedBroker, frozen),
        pytest.param(LocalKafka, frozen, marks=kafka),
        pytest.param(LocalKafka, killed, marks=kafka),
    ],
)
async def test_a_prober_waits_for_its_broker_and_probes_on(
    kind: type[Broker], outage: Callable[[Broker], Awaitable[None]], model_server: ModelServer, tmp_path: Path
) -> None:
    if kind is LocalKafka:
        require_kafka()

    def probed(settings: Settings) -> Settings:
        cheap = settings.tiers.cheap.model_dump(exclude={"outage", "max_tokens"})
        endpoint = ProbedEndpoint(**(cheap | {"name": "cheap", "interval_s": 1.0}))
        return settings.model_copy(update={"endpoints": ProbedEndpoints(endpoints=(endpoint,))})

    async with kind() as broker, supervised(broker, model_server, tmp_path, probed) as pipeline:
        command = [sys.executable, "-m", "streams.cli", "probe", "run", "--json", "--config", str(pipeline.config)]
        prober = ChildProcess(command)

        def probes() -> int:
            return sum('"probe_id"' in line for line in prober.tail(10_000).splitlines())

        async def more_probes() -> None:
            before = probes()
            async with asyncio.timeout(PATIENCE_S):
                while probes() <= before:
                    assert prober.alive, prober.tail()
                    await asyncio.sleep(0.05)

        try:
            await more_probes()
            before = len(prober.tail(10_000).splitlines())
            async with outage(broker):
                await ready(pipeline, lambda status, broker: status == 503 and "Kafka broker" in broker)
                await asyncio.sleep(OUTAGE_S)  # what is said in this time is looked at
            await ready(pipeline, lambda status, broker: status == 200 and broker == "answers")
            await more_probes()
            said = [line for line in prober.tail(10_000).splitlines()[before:] if '"probe_id"' not in line]
        finally:
            await prober.stop(PATIENCE_S)
    assert len(said) < 10, said
    assert sum("the broker is unavailable: work waits" in line for line in said) == 1

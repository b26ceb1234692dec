"""A broker that freezes or dies under workers and a prober: few lines in each log, /ready says why, and every ticket ends after."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from schemas import Ticket
from streams.core.memory.vector_bytes import packed
from streams.embedding.minilm import DIMENSIONS, MODEL
from streams.kafka.send import publish
from streams.models.probed_endpoint import ProbedEndpoint, ProbedEndpoints
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.process import ChildProcess
from streams.settings import MemorySettings, Settings
from tests.chaos.test_standstill import COUNT, PATIENCE_S, Supervised, supervised
from tests.support.brokers import require_kafka
from tests.support.messages import example

OUTAGE_S = 15.0
#: On a busy machine the broker itself may be away for a minute more.
OVER_S = 120.0
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


@dataclass
class Process:
    """A worker or a prober, which says things, and its pipeline."""

    pipeline: Supervised
    child: ChildProcess
    log: Path
    before: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    def remember(self) -> None:
        self.before = self.lines()

    async def ready(self, holds: Callable[[int, str], bool]) -> None:
        """Wait until the status of /ready, and what it says of the broker, are so."""
        status, text = 0, ""
        try:
            async with asyncio.timeout(OVER_S):
                while not (status and holds(status, json.loads(text)["broker"])):
                    assert self.child.alive, self.child.tail()
                    await asyncio.sleep(0.05)
                    status, text = await self.pipeline.page("/ready")
        except TimeoutError:
            pytest.fail(f"{status} {text}\n{self.child.tail()}")

    def said(self) -> list[str]:
        """Return its lines since then, without the probes."""
        return [line for line in self.lines()[len(self.before) :] if '"probe_id"' not in line]

    async def learns(self) -> None:
        """Load an example, and wait until the worker, which follows the memory, has it."""
        settings = self.pipeline.settings
        [vector] = packed(np.full((1, DIMENSIONS), DIMENSIONS**-0.5, dtype=np.float32))
        row = example("late", label="shipping", embedding_model=MODEL, vector=vector)
        await publish([row], settings.broker.connection, prefix=settings.topics.prefix)
        async with asyncio.timeout(PATIENCE_S):
            while (
                f'hedgerow_memory_examples{{embedding_model="{MODEL}"}} 1.0'
                not in (await self.pipeline.page("/metrics"))[1]
            ):
                assert self.child.alive, self.child.tail()
                await asyncio.sleep(0.05)

    async def more_probes(self) -> None:
        before = self._probes()
        async with asyncio.timeout(PATIENCE_S):
            while self._probes() <= before:
                assert self.child.alive, self.child.tail()
                await asyncio.sleep(0.05)

    def _probes(self) -> int:
        return sum('"probe_id"' in line for line in self.lines())


def probed(settings: Settings) -> Settings:
    cheap = settings.tiers.cheap.model_dump(exclude={"outage", "max_tokens"})
    endpoint = ProbedEndpoint(**(cheap | {"name": "cheap", "interval_s": 1.0}))
    return settings.model_copy(update={"endpoints": ProbedEndpoints(endpoints=(endpoint,))})


@asynccontextmanager
async def worker(broker: Broker, models: ModelServer, folder: Path, delivery: str) -> AsyncIterator[Process]:
    def delivered(settings: Settings) -> Settings:
        return settings.model_copy(update={"delivery": delivery, "memory": MemorySettings(examples=2)})

    log = folder / "log"
    async with supervised(broker, models, folder, delivered) as pipeline, stopped(pipeline.well(log)) as child:
        await pipeline.until_ready(child)
        yield Process(pipeline, child, log)


@asynccontextmanager
async def prober(broker: Broker, models: ModelServer, folder: Path) -> AsyncIterator[Process]:
    async with supervised(broker, models, folder, probed) as pipeline:
        command = [sys.executable, "-m", "streams.cli", "probe", "run", "--json", "--config", str(pipeline.config)]
        log = folder / "log"
        async with stopped(ChildProcess(command, output=log)) as child:
            made = Process(pipeline, child, log)
            await made.more_probes()
            yield made


@asynccontextmanager
async def stopped(child: ChildProcess) -> AsyncIterator[ChildProcess]:
    try:
        yield child
    finally:
        await child.stop(PATIENCE_S)


@pytest.mark.parametrize(
    ("kind", "outage"),
    [
        (EmbeddedBroker, frozen),
        pytest.param(LocalKafka, frozen, marks=pytest.mark.kafka),
        pytest.param(LocalKafka, killed, marks=pytest.mark.kafka),
    ],
)
async def test_a_broker_outage_is_a_few_lines_in_each_log_loses_no_ticket_and_probes_go_on(
    kind: type[Broker], outage: Callable[[Broker], Awaitable[None]], model_server: ModelServer, tmp_path: Path
) -> None:
    """Workers in both modes of delivery, which follow the memory, and a prober go through the same outage."""
    if kind is LocalKafka:
        require_kafka()
    modes = ("at_least_once", "exactly_once") if kind is LocalKafka else ("at_least_once",)
    for name in (*modes, "prober"):
        (tmp_path / name).mkdir()
    async with kind() as broker, AsyncExitStack() as stack:
        starts = [worker(broker, model_server, tmp_path / mode, mode) for mode in modes]
        workers = [await stack.enter_async_context(start) for start in starts]
        probing = await stack.enter_async_context(prober(broker, model_server, tmp_path / "prober"))
        for each in workers:
            settings = each.pipeline.settings
            await publish(MORE, settings.broker.connection, prefix=settings.topics.prefix)
        for each in (*workers, probing):
            each.remember()
        async with outage(broker):
            for each in (*workers, probing):
                await each.ready(lambda status, broker: status == 503 and "Kafka broker" in broker)
                assert (await each.pipeline.page("/health"))[0] == 200
            await asyncio.sleep(OUTAGE_S)  # what is said in this time is looked at
        for each in (*workers, probing):
            await each.ready(lambda status, broker: status == 200 and broker == "answers")
        for each in workers:
            await each.learns()
            ends = await each.pipeline.outcomes(2 * COUNT)
            assert len({end.ticket_id for end in ends}) == 2 * COUNT
        await probing.more_probes()
        for each in (*workers, probing):
            assert len(each.said()) < 10, each.said()
            text = "\n".join(each.said())
            assert text.count("the broker is unavailable: work waits") == 1
        for each in workers:
            assert "\n".join(each.said()).count("the broker answers again") == 1
            assert [line for line in each.said() if not line.startswith("20")] == []

"""A Hedgerow that is watched: its topics on a broker, its workers and probers, and what comes out on ``alerts``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from schemas import Alert, Message, Probe
from streams.agents.registry import AgentName
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.kafka.readers import decode, reader
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.models.probed_endpoint import ProbedEndpoints
from streams.prober.metrics import ProbeMetrics
from streams.prober.prober import Prober
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from streams.worker.worker import Worker

PATIENCE_S = 60.0
PARTITIONS = 2
#: Twenty milliseconds: a hundred probes are there within seconds.
INTERVAL_S = 0.02


@dataclass
class Watched:
    """Settings on a broker, with topics of their own."""

    settings: Settings
    alerts: list[Alert] = field(default_factory=list)

    async def send(self, messages: Sequence[Message]) -> None:
        """Put messages on their topics."""
        await publish(messages, self.settings.broker.connection, prefix=self.settings.topics.prefix)

    @asynccontextmanager
    async def worker(self, *agents: AgentName) -> AsyncIterator[Worker]:
        """Run a worker that is ready, and stop it in good order."""
        worker = Worker(self.settings, agents)
        task = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                ready = asyncio.ensure_future(worker.ready.wait())
                await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
            yield worker
        finally:
            worker.stop()
            await task

    @asynccontextmanager
    async def prober(self) -> AsyncIterator[list[Probe]]:
        """Run a prober; yield the probes that it has sent, as they come."""
        sent: list[Probe] = []
        endpoints = self.settings.endpoints
        assert endpoints is not None
        prober = Prober(self.settings, endpoints.endpoints, metrics=ProbeMetrics(CollectorRegistry()), told=sent.append)
        task = asyncio.create_task(prober.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                ready = asyncio.ensure_future(prober.ready.wait())
                await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
            yield sent
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def until_alerts(self, enough: Callable[[Sequence[Alert]], bool]) -> list[Alert]:
        """Read ``alerts`` from the beginning until that is enough, and return what was read."""
        return [m for m in await self.until("alerts", enough) if isinstance(m, Alert)]

    async def until(self, topic: str, enough: Callable[[Any], bool]) -> list[Message]:
        """Read a topic from the beginning until that is enough, and return what was read."""
        prefix, found = self.settings.topics.prefix, []
        async with (
            asyncio.timeout(PATIENCE_S),
            reader([topic], self.settings.broker.connection, prefix=prefix) as consumer,
        ):
            while not enough(found):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [message for record in records if (message := decode(record, prefix)) is not None]
        return found


def seen(worker: Worker, what: str | None = None) -> float:
    """How many probes a worker's drift agent has read, or how many became this."""
    return sum(
        sample.value
        for metric in worker.observer.registry.collect()
        for sample in metric.samples
        if sample.name == "hedgerow_probes_seen_total" and what in (None, sample.labels["what"])
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that announces itself to nobody."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watched(
    broker: Broker, models: ModelServer, folder: Path, *, policy: Policy | None = None, **changes: Any
) -> AsyncIterator[Watched]:
    """Create topics for a pipeline whose cheap endpoint is probed under the name ``cheap``."""
    connection, prefix = local_connection(broker), f"watch-{secrets.token_hex(4)}."
    settings = demo_settings(connection, models.url, models.labels, policy or Policy(), folder, prefix)
    probed = {"name": "cheap", "base_url": models.url, "model": settings.tiers.cheap.model}
    endpoints = ProbedEndpoints.model_validate([probed | {"interval_s": INTERVAL_S, "jitter_s": 0.0}])
    await create_topics(connection, prefix=prefix, partitions=PARTITIONS, replication=1)
    yield Watched(settings.model_copy(update={"endpoints": endpoints} | changes))

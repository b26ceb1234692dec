"""Worker processes on one broker and one model server, for what is measured of several of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.chaos.stand import WorkerSlot
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.kafka.connection import Connection
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings

_READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Stand:
    """A broker with its topics, and workers that are ready."""

    broker: LocalKafka | EmbeddedBroker
    connection: Connection
    slots: list[WorkerSlot]


@asynccontextmanager
async def stand(
    broker: str,
    models: ModelServer,
    workers: int,
    *,
    prefix: str,
    policy: Policy | None = None,
    adjusted: Callable[[Settings], Settings] = lambda settings: settings,
) -> AsyncIterator[Stand]:
    """Start the broker (``kafka`` or ``embedded``), the model server and the workers; stop them at the end.

    ``adjusted`` may change the workers' settings, which are those of the demo. Raises SystemExit if a worker ends before it is ready.
    """
    running = LocalKafka() if broker == "kafka" else EmbeddedBroker()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hedgerow-workers-")))
        await asyncio.gather(stack.enter_async_context(running), stack.enter_async_context(models))
        connection = local_connection(running)
        settings = adjusted(
            demo_settings(connection, models.url, models.labels, policy or Policy(), folder, prefix=prefix)
        )
        partitions = max(workers, settings.topics.partitions)
        await create_topics(connection, prefix=prefix, partitions=partitions, replication=1)
        slots = [WorkerSlot(number, settings, folder) for number in range(workers)]
        for slot in slots:
            slot.start()
            stack.push_async_callback(end_worker, slot)
        await asyncio.gather(*map(until_ready, slots))
        yield Stand(running, connection, slots)


async def until_ready(slot: WorkerSlot) -> None:
    """Wait until the worker says that it is ready; raises SystemExit with its last words if it has ended."""
    assert slot.process is not None
    async with asyncio.timeout(_READY_S), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{slot.port.number}/ready") as page:
                    if page.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if not slot.process.alive:
                raise SystemExit(slot.process.tail())
            await asyncio.sleep(0.2)


async def end_worker(slot: WorkerSlot) -> None:
    """Stop the worker if it runs."""
    if slot.process is not None:
        await slot.process.stop(15.0)

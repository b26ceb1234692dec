"""Worker processes that stand still end themselves, their successors complete the tickets, and a stop comes in time."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from schemas import Review, Routed, Ticket
from streams.agents.registry import AGENTS
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.kafka.readers import decode, reader
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess
from streams.settings import Settings, WorkerSettings
from streams.worker.hard_stop import stop_bound_s

PATIENCE_S = 60.0
COUNT = 12


@dataclass
class Supervised:
    """One pipeline's settings on disk, with a metrics port, and the processes that a supervisor would start."""

    settings: Settings
    config: Path
    port: int

    def troubled(self, trouble: str) -> ChildProcess:
        arguments = [str(self.config), trouble, *AGENTS]
        return ChildProcess([sys.executable, "-m", "tests.chaos.troubled_worker", *arguments])

    def well(self, output: Path | None = None) -> ChildProcess:
        command = [sys.executable, "-m", "streams.cli", "worker", "--config", str(self.config)]
        return ChildProcess(command, output=output)

    async def page(self, path: str) -> tuple[int, str]:
        """Return a page's status and text; 0 while nobody listens."""
        try:
            async with aiohttp.request("GET", f"http://127.0.0.1:{self.port}{path}") as response:
                return response.status, await response.text()
        except aiohttp.ClientError:
            return 0, ""

    async def until_in_flight(self, child: ChildProcess) -> None:
        """Wait until handlers of classify are in progress."""
        async with asyncio.timeout(PATIENCE_S):
            while not re.search(r'hedgerow_in_flight\{agent="classify"\} [1-9]', (await self.page("/metrics"))[1]):
                assert child.alive, child.tail()
                await asyncio.sleep(0.05)

    async def until_ready(self, child: ChildProcess) -> None:
        """Wait until every agent has joined its group."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.page("/ready"))[0] != 200:
                assert child.alive, child.tail()
                await asyncio.sleep(0.05)

    async def outcomes(self, count: int = COUNT) -> list[Routed | Review]:
        """Read where tickets end until this many have."""
        ends: list[Routed | Review] = []
        prefix, connection = self.settings.topics.prefix, self.settings.broker.connection
        async with asyncio.timeout(PATIENCE_S), reader(["routed", "reviews"], connection, prefix=prefix) as consumer:
            while len({end.ticket_id for end in ends}) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    messages = (decode(record, prefix) for record in records)
                    ends += [message for message in messages if isinstance(message, Routed | Review)]
        return ends


@asynccontextmanager
async def supervised(
    broker: EmbeddedBroker,
    models: ModelServer,
    folder: Path,
    change: Callable[[Settings], Settings] = lambda settings: settings,
) -> AsyncIterator[Supervised]:
    connection, prefix = local_connection(broker), f"still-{secrets.token_hex(4)}."
    settings = change(demo_settings(connection, models.url, models.labels, Policy(), folder, prefix))
    with ReservedPort() as port:
        settings = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": port.number})})
        config = folder / "hedgerow.yaml"
        config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        await create_topics(connection, prefix=prefix, partitions=2, replication=1)
        tickets = [Ticket(ticket_id=f"s-{number}", text="Where is my refund?") for number in range(COUNT)]
        await publish(tickets, connection, prefix=prefix)
        yield Supervised(settings, config, port.number)


async def ended(worker: ChildProcess) -> tuple[int | None, str]:
    """Wait for a worker to end by itself; return its status and its last line."""
    try:
        status = await worker.wait(PATIENCE_S)
        assert status is not None, worker.tail()
        return status, worker.tail().splitlines()[-1]
    finally:
        await worker.kill()


async def test_a_worker_that_reads_nothing_ends_itself_and_its_successor_completes_the_tickets(
    embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path
) -> None:
    async with supervised(embedded_broker, model_server, tmp_path) as pipeline:
        status, line = await ended(pipeline.troubled("never_drains"))
        assert status == 2
        assert re.match(r"hedgerow: the classify agent has stalled: 0 messages in progress, \d+ or more waiting", line)
        second = pipeline.well()
        try:
            ends = await pipeline.outcomes()
            assert len({end.ticket_id for end in ends}) == len(ends) == COUNT
            assert (await pipeline.page("/health"))[0] == 200
            await pipeline.until_ready(second)
        finally:
            await second.stop(PATIENCE_S)


async def test_what_cannot_be_stopped_in_good_order_is_ended_hard_and_what_can_ends_inside_the_bound(
    embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path
) -> None:
    """Three workers of three pipelines at the same time: handlers that ignore their cancellation, one that blocks the event
    loop, and ones that merely wait when SIGTERM comes."""

    async def run(trouble: str, *, sigterm: bool = False) -> tuple[int | None, str]:
        folder = tmp_path / trouble
        folder.mkdir()
        async with supervised(embedded_broker, model_server, folder) as pipeline:
            worker = pipeline.troubled(trouble)
            if sigterm:
                await pipeline.until_in_flight(worker)
                os.kill(worker.pid, signal.SIGTERM)
            return await ended(worker)

    hung, blocked, waited = await asyncio.gather(run("hangs"), run("blocks"), run("waits", sigterm=True))
    assert hung[0] == 1
    assert re.match(r"[\d-]+T[\d:.]+Z hedgerow: not stopped within 3.1 s; ended in ", hung[1])
    assert blocked[0] == 1
    assert re.match(
        r"[\d-]+T[\d:.]+Z hedgerow: the event loop has stalled for \d s; ended in .*troubled_worker.py:\d+", blocked[1]
    )
    # Within its bound, or it would have been ended hard too.
    assert waited[0] == 0, waited[1]


def test_the_bound_of_a_stop() -> None:
    assert stop_bound_s(WorkerSettings()) == 38.0

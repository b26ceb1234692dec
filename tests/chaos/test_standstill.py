"""Worker processes that stand still end themselves, their successors complete the tickets, and a stop comes in time."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml

from schemas import Review, Routed, Ticket
from streams.consume import decode, reader
from streams.core.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.hard_stop import STOP_MARGIN_S
from streams.publish import publish
from streams.sandbox.embedded import EmbeddedBroker
from streams.sandbox.model.process import ModelServer
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess
from streams.settings import AGENTS, Settings, WorkerSettings
from streams.topics import create_topics

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

    def well(self) -> ChildProcess:
        return ChildProcess([sys.executable, "-m", "streams.cli", "worker", "--config", str(self.config)])

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

    async def outcomes(self) -> list[Routed | Review]:
        """Read where tickets end until all have."""
        ends: list[Routed | Review] = []
        prefix, connection = self.settings.topics.prefix, self.settings.broker.connection
        async with asyncio.timeout(PATIENCE_S), reader(["routed", "reviews"], connection, prefix=prefix) as consumer:
            while len({end.ticket_id for end in ends}) < COUNT:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    messages = (decode(record, prefix) for record in records)
                    ends += [message for message in messages if isinstance(message, Routed | Review)]
        return ends


@pytest.fixture
async def supervised(
    embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path
) -> AsyncIterator[Supervised]:
    async with _supervised(embedded_broker, model_server, tmp_path) as found:
        yield found


@asynccontextmanager
async def _supervised(broker: EmbeddedBroker, models: ModelServer, folder: Path) -> AsyncIterator[Supervised]:
    connection, prefix = local_connection(broker), f"still-{secrets.token_hex(4)}."
    settings = demo_settings(connection, models.url, models.labels, Policy(), folder, prefix)
    with ReservedPort() as port:
        settings = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": port.number})})
        config = folder / "hedgerow.yaml"
        config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        await create_topics(connection, prefix=prefix, partitions=2, replication=1)
        tickets = [Ticket(ticket_id=f"s-{number}", text="Where is my refund?") for number in range(COUNT)]
        await publish(tickets, connection, prefix=prefix)
        yield Supervised(settings, config, port.number)


@pytest.mark.parametrize(
    ("trouble", "status", "line"),
    [
        ("never_drains", 2, r"the classify agent stands still: 0 messages in progress, \d+ or more waiting"),
        # Cancelled, these handlers do not end, so the process has to be ended hard.
        ("hangs", 1, r"not stopped within 3 s; ended in "),
        ("blocks", 1, r"the event loop stands still for \d s; ended in .*troubled_worker.py:\d+ \(blocks\)"),
    ],
)
async def test_a_worker_that_stands_still_ends_itself_and_its_successor_completes_the_tickets(
    supervised: Supervised, trouble: str, status: int, line: str
) -> None:
    first = supervised.troubled(trouble)
    try:
        assert await first.wait(PATIENCE_S) == status, first.tail()
        last = first.tail().splitlines()[-1]
        assert last.startswith("hedgerow: ")
        assert re.search(line, last), last
    finally:
        await first.kill()
    second = supervised.well()
    try:
        ends = await supervised.outcomes()
        assert len({end.ticket_id for end in ends}) == len(ends) == COUNT
        status, health = await supervised.page("/health")
        assert status == 200, health
        assert (await supervised.page("/ready"))[0] == 200
    finally:
        await second.stop(PATIENCE_S)


async def test_sigterm_with_handlers_in_flight_ends_inside_the_bound(supervised: Supervised) -> None:
    worker = supervised.troubled("waits")
    try:
        await supervised.until_in_flight(worker)
        worker._process.terminate()
        assert await worker.wait(1.0 + STOP_MARGIN_S) == 0, worker.tail()
    finally:
        await worker.kill()


def test_the_bound_of_a_stop_is_the_wait_and_the_margin() -> None:
    assert WorkerSettings().stop_wait_s + STOP_MARGIN_S == 35.0

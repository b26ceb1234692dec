"""Endpoints that do not answer under worker processes: kill -9 while tickets are held, a start in the middle, and a stop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.process import ChildProcess
from streams.settings import Settings
from tests.chaos.test_standstill import COUNT, PATIENCE_S, Supervised, ended, supervised
from tests.chaos.troubled_worker import LIMIT_S
from tests.support.brokers import require_kafka


@pytest.mark.parametrize("broker", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_a_worker_that_is_killed_while_it_holds_loses_nothing(broker: str, tmp_path: Path) -> None:
    if broker == "kafka":
        require_kafka()
    report = tmp_path / "report.json"
    # The tickets in flight use up their attempts for some seven seconds before they are held.
    options = ("--broker", broker, "--fault", "server_error", "--seconds", "15", "--kill-worker", "--json", str(report))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.outage", *options], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert figures["routed"] + figures["in_review"] == figures["tickets"]
    assert figures["workers"] == 3


def impatient(settings: Settings) -> Settings:
    """Return settings whose endpoints are given up soon, and which wait long for what is in progress at a stop."""
    tiers, limits = settings.tiers, {"timeout_s": 1.0, "deadline_s": 2.0, "attempts": 1}
    both = {"cheap": tiers.cheap.model_copy(update=limits), "big": tiers.big.model_copy(update=limits)}
    worker = settings.worker.model_copy(update={"stop_wait_s": 10 * PATIENCE_S})
    return settings.model_copy(update={"tiers": tiers.model_copy(update=both), "worker": worker})


async def until_held(pipeline: Supervised, worker: ChildProcess) -> None:
    """Wait until the worker is ready, degraded, and holds tickets."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert worker.alive, worker.tail()
            status, ready = await pipeline.page("/ready")
            held = re.search(r'hedgerow_held\{agent="classify"\} [1-9]', (await pipeline.page("/metrics"))[1])
            if status == 200 and json.loads(ready)["status"] == "degraded" and held:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def silent(model_server: ModelServer) -> AsyncIterator[ModelServer]:
    """A model server that answers 500 to everything until its faults are switched off."""
    await model_server.set_faults(["server_error=1"])
    yield model_server
    await model_server.set_faults([])


async def test_a_worker_that_starts_in_an_outage_holds_stops_at_once_and_its_successor_completes_the_tickets(
    embedded_broker: EmbeddedBroker, silent: ModelServer, tmp_path: Path
) -> None:
    async with supervised(embedded_broker, silent, tmp_path, impatient) as pipeline:
        first = pipeline.well()
        await until_held(pipeline, first)
        os.kill(first.pid, signal.SIGTERM)
        # Or the stop would wait for the held tickets, ten times as long as this test does.
        status, line = await ended(first)
        assert status == 0, line
        second = pipeline.well()
        try:
            await until_held(pipeline, second)
            await silent.set_faults([])
            ends = await pipeline.outcomes()
        finally:
            await second.stop(PATIENCE_S)
        assert len({end.ticket_id for end in ends}) == len(ends) == COUNT
        assert not [end for end in ends if any("no_answer" in reason for reason in end.reasons)]


async def test_the_watchdog_leaves_a_worker_alone_that_holds_for_longer_than_the_limit(
    embedded_broker: EmbeddedBroker, silent: ModelServer, tmp_path: Path
) -> None:
    async with supervised(embedded_broker, silent, tmp_path, impatient) as pipeline:
        worker = pipeline.troubled("outage")
        try:
            await until_held(pipeline, worker)
            await asyncio.sleep(2 * LIMIT_S)  # nothing happens in this time, and that is what is looked for
            assert worker.alive, worker.tail()
            assert (await pipeline.page("/health"))[0] == 200
            await silent.set_faults([])
            assert len(await pipeline.outcomes()) == COUNT
        finally:
            await worker.stop(PATIENCE_S)


async def test_a_worker_that_starts_in_an_outage_ends_as_soon_as_it_is_refused(
    embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path
) -> None:
    status = 503

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    def elsewhere(settings: Settings) -> Settings:
        tiers, url = impatient(settings).tiers, {"base_url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1"}
        both = {"cheap": tiers.cheap.model_copy(update=url), "big": tiers.big.model_copy(update=url)}
        return settings.model_copy(update={"tiers": tiers.model_copy(update=both)})

    try:
        async with supervised(embedded_broker, model_server, tmp_path, elsewhere) as pipeline:
            worker = pipeline.well()
            await until_held(pipeline, worker)
            status = 401
            assert (await ended(worker))[0] == 2
            assert "refuses: 401" in worker.tail()
    finally:
        await runner.cleanup()

"""hedgerow pause and resume: workers stop taking tickets, say so, and go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas import Routed, Ticket
from streams.cli import pause as commands
from streams.core.guards import AlertKind
from streams.core.guards.pauses import pause_alert
from streams.kafka.send import publish
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO
from streams.worker.worker import Worker
from tests.support.pipelines import PATIENCE_S, Pipeline, pipeline
from tests.support.watchers import until

TICKETS = [Ticket.decode(line) for line in DEMO.read_bytes().splitlines() if line.strip()][:10]


async def say(run: Pipeline, kind: AlertKind, tier: Any = None) -> None:
    settings = run.settings
    word = pause_alert(kind, tier, "ann", "a new disk", 1)
    await publish([word], settings.broker.connection, prefix=settings.topics.prefix)


async def send(run: Pipeline, tickets: list[Ticket]) -> None:
    await publish(tickets, run.settings.broker.connection, prefix=run.settings.topics.prefix)


def ready(worker: Worker) -> dict[str, Any]:
    answer = worker._readiness()
    return {"ok": answer.ok, **answer.facts}


def paused(worker: Worker) -> dict[str, float]:
    samples = [sample for metric in worker.observer.registry.collect() for sample in metric.samples]
    return {sample.labels["agent"]: sample.value for sample in samples if sample.name == "hedgerow_paused"}


async def test_a_paused_worker_takes_no_ticket_and_goes_on_when_resumed(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    async with pipeline(broker, model_server, tmp_path) as run:
        await say(run, AlertKind.PAUSED)
        await until(lambda: ready(run.worker)["status"] == "paused")
        assert ready(run.worker)["paused"]["classify"] == "all: paused by ann: a new disk"
        assert paused(run.worker) == dict.fromkeys(("classify", "score", "escalate", "review"), 1.0)
        asked = (await model_server.stats())["requests"]
        await asyncio.sleep(1.5)  # a fetch that had begun is over
        await send(run, TICKETS)
        lag = run.worker._watchdog
        assert lag is not None
        for service in run.worker._services:
            await lag.look(service.stage.agent)
        assert (await model_server.stats())["requests"] == asked
        await say(run, AlertKind.RESUMED)
        await run.until(lambda: len(run.results) == len(TICKETS))
        assert ready(run.worker)["status"] == "ready"
        assert set(paused(run.worker).values()) == {0.0}


async def test_a_tier_that_is_paused_holds_its_own_agent_only(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    async with pipeline(broker, model_server, tmp_path) as run:
        await say(run, AlertKind.PAUSED, "big")
        await until(lambda: list(ready(run.worker)["paused"]) == ["escalate"])
        await send(run, TICKETS)
        await run.until(lambda: any(isinstance(end[0], Routed) for end in run.results.values()))


async def test_a_worker_that_starts_while_everything_is_paused_takes_nothing(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    async with pipeline(broker, model_server, tmp_path, agents=["score"]) as first:
        await say(first, AlertKind.PAUSED)
        second = Worker(first.settings, ["classify"])
        running = asyncio.create_task(second.run())
        async with asyncio.timeout(PATIENCE_S):
            await second.ready.wait()
        assert list(ready(second)["paused"]) == ["classify"]
        assert not second._services[0].runner.has_room
        second.stop()
        await running


@pytest.fixture
async def config(broker: Broker, model_server: ModelServer, tmp_path: Path) -> Any:
    async with pipeline(broker, model_server, tmp_path, agents=["score"]) as run:
        settings = run.settings
        file = tmp_path / "hedgerow.yaml"
        values = settings.model_dump(
            mode="json", include={"broker": {"bootstrap"}, "topics": ..., "labels": ..., "tiers": ...}
        )
        file.write_text(yaml.safe_dump(values))
        yield run, file


async def test_the_commands_pause_and_resume(config: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = config
    await asyncio.to_thread(commands.pause, "a new disk", file, "cheap", "ann")
    await asyncio.to_thread(commands.pause, "all of it", file, None, "ann")
    await until(lambda: ready(run.worker)["status"] == "paused")
    await asyncio.to_thread(commands.resume, file, None, "bob", "done")
    await until(lambda: ready(run.worker)["status"] == "ready")
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["cheap: paused by ann: a new disk", "all: paused by ann: all of it"]
    assert sorted(out[2:]) == ["all: resumed by bob: done", "cheap: resumed by bob: done"]
    with pytest.raises(Exception, match="1"):
        await asyncio.to_thread(commands.resume, file, "big", "bob", "")
    assert capsys.readouterr().out == "not paused\n"

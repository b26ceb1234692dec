"""kill -9 of a worker while it follows the memory: no ticket is lost, and the next worker knows what came meanwhile."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from schemas import Example, Review, Routed, Ticket
from streams.agents.registry import AGENTS
from streams.core.memory.vector_bytes import packed
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.embedding.minilm import MODEL, MiniLM
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.process import ChildProcess
from streams.settings import MemorySettings, Settings
from tests.support.messages import example
from tests.support.pipelines import PATIENCE_S, Pipeline, raw_producer

TEXTS = [
    f"Where is parcel number {number} that I sent to {place}?" for number, place in enumerate(["Rome", "Oslo"] * 15)
]


async def labelled() -> list[Example]:
    vectors = packed(await MiniLM().embed(TEXTS))
    fields: dict[str, Any] = {"label": "shipping", "embedding_model": MODEL, "ticket_id": None}
    return [
        example(f"e-{number}", text=text, vector=vector, **fields)
        for number, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
    ]


def tickets(numbers: Sequence[int]) -> list[Ticket]:
    """Tickets with the very texts of examples, of other ids."""
    return [Ticket(ticket_id=f"t-{number}", text=TEXTS[number]) for number in numbers]


def start(settings: Settings, folder: Path) -> ChildProcess:
    config = folder / "hedgerow.yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    command = [sys.executable, "-m", "streams.cli", "worker", "--config", str(config), "--agents", ",".join(AGENTS)]
    return ChildProcess(command, output=folder / "worker.log")


async def test_a_worker_that_is_killed_while_the_memory_grows_loses_nothing(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    connection, prefix = local_connection(broker), f"follower-{secrets.token_hex(4)}."
    settings = demo_settings(connection, model_server.url, model_server.labels, Policy(), tmp_path, prefix)
    settings = settings.model_copy(update={"memory": MemorySettings(examples=2)})
    await create_topics(connection, prefix=prefix, partitions=2, replication=1)
    rows = await labelled()
    await publish([*rows[:10], *tickets(range(5))], connection, prefix=prefix)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    run = Pipeline(settings, None, ended)  # type: ignore[arg-type]

    async def load_the_rest() -> None:
        for row in rows[10:]:
            await publish([row], connection, prefix=prefix)

    worker = start(settings, tmp_path)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await run.until(lambda: len(run.results) >= 5)
            loading = asyncio.create_task(load_the_rest())
            await publish(tickets(range(5, 10)), connection, prefix=prefix)
            await asyncio.sleep(0)  # both are on their way
            await worker.kill()
        async with raw_producer(settings) as producer:
            await run.send("gone", None, b"e-3", producer, topic="memory")
        await loading
        worker = start(settings, tmp_path)
        await publish([*tickets([29]), Ticket(ticket_id="gone", text=TEXTS[3])], connection, prefix=prefix)
        await run.until(lambda: len(run.results) == 12)
    finally:
        await worker.stop(10.0)
    nearest = {}
    for ticket_id, results in run.results.items():
        assert isinstance(results[0], Routed | Review)
        for call in results[-1].calls:
            assert len(call.shown) <= 2
            assert {one.id for one in call.shown} <= {row.example_id for row in rows}
            nearest[ticket_id] = call.shown[-1].id
    assert nearest["t-29"] == "e-29", "it was loaded while no worker ran"
    assert nearest["gone"] != "e-3", "it was forgotten while no worker ran"
    assert {nearest[f"t-{number}"] for number in (0, 1, 2, 4)} == {"e-0", "e-1", "e-2", "e-4"}

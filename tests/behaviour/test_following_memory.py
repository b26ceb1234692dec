"""Workers that follow the topic memory: what is loaded is an example at every one of them, and nothing there ends one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas import Example, Review, Routed, Ticket
from streams.core.memory.vector_bytes import packed
from streams.core.policy.policy import BigRule, CheapRule, Policy
from streams.embedding.minilm import MODEL, MiniLM
from streams.kafka.send import publish
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import MemorySettings, Settings
from streams.worker.worker import Worker
from tests.support.messages import example
from tests.support.pipelines import Pipeline, pipeline, raw_producer

#: Everything is escalated, and what comes back from the big tier is accepted.
ESCALATES = Policy(
    min_top_k_mass=0.0,
    cheap=CheapRule(min_confidence=1.0, min_confidence_two_labels=1.0, max_entropy=0.0),
    big=BigRule(min_confidence=0.0, min_confidence_two_labels=0.0, max_entropy=9.0),
)


@pytest.fixture(scope="module")
def embedder() -> MiniLM:
    return MiniLM()


async def labelled(embedder: MiniLM, texts: Sequence[str], **changes: Any) -> list[Example]:
    """Examples of shipping, as a load would send them."""
    vectors = packed(await embedder.embed(texts))
    fields = {"label": "shipping", "embedding_model": MODEL} | changes
    return [
        example(f"e-{text}", ticket_id=None, text=text, vector=vector, **fields)
        for text, vector in zip(texts, vectors, strict=True)
    ]


def on_topic(**memory: Any) -> Any:
    return lambda settings: settings.model_copy(update={"memory": MemorySettings(**memory)})


async def send(run: Pipeline, examples: Sequence[Example]) -> None:
    await publish(examples, run.settings.broker.connection, prefix=run.settings.topics.prefix)


def sample(worker: Worker, name: str, **labels: str) -> float:
    return worker.observer.registry.get_sample_value(f"hedgerow_{name}", labels) or 0.0


def size(worker: Worker) -> float:
    return sample(worker, "memory_examples", embedding_model=MODEL)


async def until_sizes(count: int, *workers: Worker) -> float:
    """Wait until every worker holds this many examples; return the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        while any(size(worker) != count for worker in workers):
            await asyncio.sleep(0.01)  # a gauge has no event
    return time.monotonic() - began


@asynccontextmanager
async def another(settings: Settings) -> AsyncIterator[Worker]:
    """Another worker with the same settings, ready."""
    worker = Worker(settings, ["classify", "escalate"])
    task = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(60):
            ready = asyncio.ensure_future(worker.ready.wait())
            await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        assert not task.done()
        yield worker
    finally:
        worker.stop()
        await task


async def test_what_is_loaded_is_an_example_at_every_worker_and_a_ticket_is_embedded_once(
    broker: Broker, model_server: ModelServer, tmp_path: Path, embedder: MiniLM
) -> None:
    texts = [f"Where is parcel number {number}?" for number in range(12)]
    memory = on_topic(examples=3)
    async with pipeline(broker, model_server, tmp_path, policy=ESCALATES, change=memory) as run:
        connection, prefix = run.settings.broker.connection, run.settings.topics.prefix
        await publish([Ticket(ticket_id="before", text="Where is my parcel?")], connection, prefix=prefix)
        await run.until(lambda: len(run.results) == 1)
        [[result]] = run.results.values()
        assert all((call.novelty, call.shown) == (None, ()) for call in result.calls), "an empty memory says nothing"

        async with another(run.settings) as second:
            workers = (run.worker, second)
            seconds = []
            for first in range(0, 12, 3):
                await send(run, await labelled(embedder, texts[first : first + 3]))
                seconds.append(await until_sizes(first + 3, *workers))
            # A busy machine may hold up one or two; workers that look too seldom are late for all but the first.
            assert sorted(seconds)[1] < 2.0

            async with raw_producer(run.settings) as producer:
                await _poison(run, producer, await labelled(embedder, ["Another model's"], embedding_model="other"))
                await run.send("gone", None, b"e-" + texts[0].encode(), producer, topic="memory")
            await until_sizes(11, *workers)
            for worker in workers:
                assert sample(worker, "memory_records_total", what="invalid") == 4
                assert sample(worker, "memory_records_total", what="other_model") == 1
                assert sample(worker, "memory_records_total", what="forgotten") == 1

            tickets = [Ticket(ticket_id=f"t-{number}", text=f"Is parcel {number} lost?") for number in range(10)]
            await publish(tickets, connection, prefix=prefix)
            await run.until(lambda: len(run.results) == 11)
        await another_reads_it_again(run.settings)
        for ticket_id, (result,) in run.results.items():
            assert isinstance(result, Routed | Review)
            cheap, big = result.calls
            assert cheap.shown == big.shown
            assert (cheap.novelty, cheap.neighbour_label) == (big.novelty, big.neighbour_label)
            assert ticket_id == "before" or len(big.shown) == 3
            assert f"e-{texts[0]}" not in {one.id for one in big.shown}
        done = {
            how: sum(sample(worker, "memory_lookups_total", how=how) for worker in workers)
            for how in ("embedded", "carried", "nothing")
        }
        assert done == {"embedded": 10, "carried": 10, "nothing": 2}


async def another_reads_it_again(settings: Settings) -> None:
    """A worker that starts has all of it before its first ticket."""
    async with another(settings) as third:
        assert size(third) == 11


async def _poison(run: Pipeline, producer: Any, others: Sequence[Example]) -> None:
    """Put on the topic what is no example, or none of this model."""
    good = example(embedding_model=MODEL)  # with two dimensions
    for name, key, value in (
        ("junk", b"x", b"\x00\xff not json"),
        ("no vector", b"x", b'{"v": 2, "example_id": "x"}'),
        ("short vector", good.example_id.encode(), good.encode()),
        ("another key", b"another", others[0].model_copy(update={"embedding_model": MODEL}).encode()),
        ("other", others[0].example_id.encode(), others[0].encode()),
    ):
        await run.send(name, value, key, producer, topic="memory")


async def test_tickets_wait_while_the_memory_is_smaller_than_the_policy_needs(
    embedded_broker: Broker,
    model_server: ModelServer,
    tmp_path: Path,
    embedder: MiniLM,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.agents.limit.LOOK_EVERY_S", 0.05)
    monkeypatch.setattr("streams.worker.remembering.examples_needed", lambda _: 8)
    rows = await labelled(embedder, [f"Where is parcel number {number}?" for number in range(8)])
    async with pipeline(embedded_broker, model_server, tmp_path, policy=ESCALATES, change=on_topic(examples=2)) as run:
        await send(run, rows[:7])
        ticket = Ticket(ticket_id="t-1", text="Where is it?")
        await publish([ticket], run.settings.broker.connection, prefix=run.settings.topics.prefix)
        async with asyncio.timeout(20):
            while not sample(run.worker, "held", agent="classify"):
                await asyncio.sleep(0.01)
        assert sample(run.worker, "limit_reached", limit="memory") == 1
        assert run.worker._readiness().facts["limits"] == ["memory"]
        await send(run, rows[7:])
        await run.until(lambda: len(run.results) == 1)
        assert sample(run.worker, "limit_reached", limit="memory") == 0

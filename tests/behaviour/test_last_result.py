"""A compacted topic keeps the result that counts, whatever was written after it; and the queue follows the results."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from schemas import Review, Routed
from streams.kafka.readers import decode, reader, to_the_end
from streams.kafka.send import publish
from streams.kafka.traces import forget_keys
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from streams.worker import settling
from tests.support.messages import review, routed
from tests.support.pipelines import PATIENCE_S, pipeline


async def last_results(settings: Settings) -> dict[str, str | None]:
    """The label that a compacted topic would keep of each ticket."""
    last: dict[str, str | None] = {}
    async with reader(["routed"], settings.broker.connection, prefix=settings.topics.prefix) as consumer:
        async for record in to_the_end(consumer):
            message = decode(record, settings.topics.prefix)
            assert isinstance(message, Routed)
            last[message.ticket_id] = message.label
    return last


async def test_what_counts_is_written_again_after_a_restart_too(
    broker: Broker, model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "INTERVAL_S", 0.2)
    decided = routed("t-1", label="account", decided_by="human", decision=1)
    later = routed("t-2", label="account", revision=2)
    async with pipeline(broker, model_server, tmp_path, agents=("settle",)) as run:
        settings = run.settings
        connection, prefix = settings.broker.connection, settings.topics.prefix
        store = ReviewStore(settings.review.url)
        store.add(review("t-2", review_id=Review.id_for("t-2", 1), revision=1))
        await publish([routed("t-1"), decided, later], connection, prefix=prefix)
        await publish([routed("t-1"), routed("t-2", revision=1)], connection, prefix=prefix)
        await run.until(lambda: [len(run.results.get(name, ())) for name in ("t-1", "t-2")] == [4, 3])
        assert await last_results(settings) == {"t-1": "account", "t-2": "account"}
        counted = run.worker.observer.registry.get_sample_value
        await run.until(lambda: counted("hedgerow_results_rewritten_total", {"agent": "settle"}) == 2)
        await run.until(lambda: store.counts().closed == 1)
        store.close()

    def again(_: Settings) -> Settings:
        return settings

    async with pipeline(broker, model_server, tmp_path, agents=("settle",), change=again) as run:
        await publish([routed("t-1")], connection, prefix=prefix)
        await run.until(lambda: len(run.results.get("t-1", ())) >= 6)
        assert (await last_results(settings))["t-1"] == "account"


async def test_what_was_forgotten_is_not_written_again(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    def decided(ticket_id: str) -> Routed:
        return routed(ticket_id, label="account", decided_by="human", decision=1)

    async with pipeline(broker, model_server, tmp_path, agents=("settle",)) as run:
        connection, prefix = run.settings.broker.connection, run.settings.topics.prefix
        await publish([decided("gone"), decided("stays")], connection, prefix=prefix)
        places = {(partition, b"gone") for partition in range(2)}
        await forget_keys("routed", places, "otto", connection, prefix=prefix)
        await publish([routed("gone"), routed("stays")], connection, prefix=prefix)
        counted = run.worker.observer.registry.get_sample_value
        async with asyncio.timeout(PATIENCE_S):
            while counted("hedgerow_results_rewritten_total", {"agent": "settle"}) != 1:
                await asyncio.sleep(0.1)
        seen: dict[str, list[str | None]] = {}
        async with reader(["routed", "dead-letters"], connection, prefix=prefix) as consumer:
            async for record in to_the_end(consumer):
                assert record.topic == f"{prefix}routed", "a record without a value is no dead letter"
                if isinstance(message := decode(record, prefix), Routed):
                    seen.setdefault(message.ticket_id, []).append(message.label)
        assert seen == {"gone": ["account", "refund"], "stays": ["account", "refund", "account"]}

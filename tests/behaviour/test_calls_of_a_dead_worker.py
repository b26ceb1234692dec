"""A call that a killed worker had handed on, and not committed, is not paid again by the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import TOPICS, Classification
from streams.delivery.stage import Delivery
from streams.kafka.producers import start_producer
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from tests.support.messages import call, scored, ticket
from tests.support.pipelines import pipeline, raw_producer

#: What no sandbox model returns as its name.
DEAD = "asked-by-the-dead"


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_the_next_worker_takes_the_call_over(
    kafka_broker: LocalKafka, model_server: ModelServer, tmp_path: Path, delivery: Delivery
) -> None:
    async with pipeline(
        kafka_broker,
        model_server,
        tmp_path,
        agents=["classify", "score", "escalate"],
        change=lambda settings: settings.model_copy(update={"delivery": delivery}),
    ) as run:
        settings, topic = run.settings, TOPICS["classifications"]
        model, prompt = settings.tiers.cheap.model, settings.prompt.hash
        asked = call(signal=scored(), model_asked=model, model_returned=DEAD, prompt_hash=prompt)
        left = Classification(ticket=ticket("t-1"), call=asked)
        transactional_id = f"{settings.topics.prefix}dead" if delivery == "exactly_once" else None
        producer = await start_producer(settings.broker.connection, transactional_id)
        try:
            if transactional_id is not None:
                await producer.begin_transaction()
            name, value = settings.topics.prefix + topic.name, settings.wire.encode(left)
            await producer.send_and_wait(name, value, key=topic.key_of(left))
            if transactional_id is not None:
                await producer.abort_transaction()
        finally:
            await producer.stop()
        async with raw_producer(settings) as tickets:
            for each in (ticket("t-1"), ticket("t-2")):
                await run.send(each.ticket_id, each.encode(), each.ticket_id.encode(), tickets)
        await run.until(lambda: run.results.keys() >= {"t-1", "t-2"})
        [first, *_], [second] = run.results["t-1"], run.results["t-2"]
        assert first.calls[0].model_returned == DEAD
        assert second.calls[0].model_returned != DEAD
        counted = run.worker.observer.registry.get_sample_value
        assert counted("hedgerow_calls_taken_over_total", {"tier": "cheap"}) == 1

"""What a release of version 1 left on the topics and in its review store is taken over: nothing is lost, nothing is dead."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas import Message, Review, Routed, WireFormat, rank, topic_of
from schemas.wire import WireVersion
from streams.agents.registry import AGENTS, KEEPERS
from streams.kafka.send import publish
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import MessagesSettings, Settings
from tests.support.messages import classification, escalation, review, routed, scored, ticket
from tests.support.pipelines import pipeline, raw_producer
from tests.support.store_v1 import as_version_1

WAITS = 30.0


@pytest.mark.parametrize("write", [1, 2])
async def test_what_is_on_the_topics_and_in_the_store_ends_once(
    broker: Broker, model_server: ModelServer, tmp_path: Path, write: WireVersion
) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'reviews.db'}")
    as_version_1(engine)
    engine.dispose()
    doubt = scored(confidence=0.2, entropy=1.5)
    left: list[Message] = [
        ticket("ticket", "Where is my parcel?"),
        classification(ticket_id="sure"),
        classification(doubt, ticket_id="doubted"),
        escalation(doubt, ticket_id="escalated"),
        review("queued"),
        routed("routed"),
        routed("t-decided", label="billing"),
    ]

    def change(settings: Settings) -> Settings:
        return settings.model_copy(update={"messages": MessagesSettings(write=write)})

    async with (
        pipeline(broker, model_server, tmp_path, agents=AGENTS + KEEPERS, change=change) as run,
        raw_producer(run.settings) as producer,
    ):
        for number, message in enumerate(left):
            topic = topic_of(message)
            data = WireFormat(1).encode(message)
            assert json.loads(data)["v"] == 1
            await run.send(str(number), data, topic.key_of(message), producer, topic.name)
        ids = {"ticket", "sure", "doubted", "escalated", "queued", "routed", "t-decided"}
        await run.until(lambda: run.results.keys() >= ids)
        store = ReviewStore(run.settings.review.url, wire=run.settings.wire)
        in_review = {"t-waiting", "queued"} | {
            name for name, ends in run.results.items() if isinstance(ends[-1], Review)
        }
        async with asyncio.timeout(WAITS):
            while store.counts().waiting < len(in_review):
                await run.until(lambda: True)
        assert {item.review.ticket_id for item in store.waiting(100)} == in_review

        for name in sorted(in_review):
            item = store.get(name)
            assert item is not None
            store.decide(item.review.review_id, "refund", "ada", "", 1)
        decisions = store.unsent()
        assert {each.verdict.ticket_id for each in decisions} == in_review | {"t-decided"}
        messages = [message for each in decisions for message in (each.verdict, each.routed)]
        await publish(
            messages, run.settings.broker.connection, prefix=run.settings.topics.prefix, wire=run.settings.wire
        )

        def ended() -> dict[str, Routed]:
            found: dict[str, Routed] = {}
            for name, ends in run.results.items():
                for end in ends:
                    if isinstance(end, Routed) and (name not in found or rank(end) >= rank(found[name])):
                        found[name] = end
            return found

        await run.until(lambda: ended().keys() >= ids | in_review and ended()["t-decided"].decided_by == "human")
        assert {name for name, end in ended().items() if end.decided_by == "human"} == in_review | {"t-decided"}
        assert run.letters == {}
        assert store.counts().waiting == 0
        store.close()

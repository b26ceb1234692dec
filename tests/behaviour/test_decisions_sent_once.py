"""Each decision is sent once, whichever of several desks sends it, and though one was killed after it had sent it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from schemas import Review, Routed
from streams.aio import in_background
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.desk.sending import Progress, Sender, on_topics, send_unsent, verdicts_of
from streams.kafka.readers import messages_there
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.broker import Broker
from streams.settings import Settings
from tests.support.desks import doubt
from tests.support.watchers import until

NAMES = "abcdefgh"


@pytest_asyncio.fixture
async def settings(broker: Broker, tmp_path: Path) -> Settings:
    connection, prefix = local_connection(broker), f"{secrets.token_hex(4)}-"
    await create_topics(connection, prefix=prefix, partitions=2, replication=1)
    return demo_settings(connection, "http://127.0.0.1:1/v1", ["refund", "shipping"], Policy(), tmp_path, prefix)


@pytest_asyncio.fixture
async def store(settings: Settings) -> AsyncIterator[ReviewStore]:
    with closing(open_store(settings)) as store:
        store.add_all([doubt(name) for name in NAMES])
        yield store


def open_store(settings: Settings) -> ReviewStore:
    return ReviewStore(settings.review.url, labels=settings.labels, wire=settings.wire)


def decide(store: ReviewStore, *, undo_ms: int = 0) -> None:
    for name in NAMES:
        store.decide(Review.id_for(name), "refund", "rita", "", time.time_ns() // 1_000_000, undo_ms=undo_ms)


def all_sent(store: ReviewStore) -> bool:
    return all(item.decision is not None and item.decision.sent for item in map(store.get, NAMES) if item)


async def results(settings: Settings) -> list[str]:
    there = messages_there(Routed, settings.broker.connection, prefix=settings.topics.prefix)
    return sorted([message.ticket_id async for message in there])


async def test_only_what_the_topics_have_whole_is_not_sent_again(settings: Settings, store: ReviewStore) -> None:
    send = partial(publish, connection=settings.broker.connection, prefix=settings.topics.prefix, wire=settings.wire)
    decide(store)
    whole, half, *_ = store.unsent()
    await send([whole.verdict, whole.routed, half.verdict])
    found = await on_topics(store.unsent(), settings)
    assert found == {whole.verdict.verdict_id}
    sent, others = await send_unsent(store, send, Progress(verdicts_of(store.unsent()), found))
    assert (sent.count, others) == (len(NAMES), [])
    assert await results(settings) == list(NAMES)


@pytest.mark.parametrize("undo_ms", [0, 700])
async def test_of_two_desks_one_sends_each_decision(settings: Settings, store: ReviewStore, undo_ms: int) -> None:
    with closing(open_store(settings)) as other:
        async with in_background(Sender(store, settings).run()), in_background(Sender(other, settings).run()):
            decide(store, undo_ms=undo_ms)
            await until(lambda: all_sent(store))
    assert await results(settings) == list(NAMES)


async def test_a_desk_takes_over_what_another_one_had_taken_to_send(
    settings: Settings, store: ReviewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(store)
    sent, *_ = store.unsent()
    await publish(
        [sent.verdict, sent.routed], settings.broker.connection, prefix=settings.topics.prefix, wire=settings.wire
    )
    sender = Sender(store, settings)
    monkeypatch.setattr(sender, "_patience_s", 0.0)
    async with in_background(sender.run()):
        await until(lambda: all_sent(store))
    assert await results(settings) == list(NAMES)

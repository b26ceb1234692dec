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
from streams.desk.sending import Progress, Sender, Sent, on_topics, send_unsent
from streams.kafka.readers import messages_there
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.reviews.store import HELD_FOR_MS, ReviewStore
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


def open_store(settings: Settings, later_ms: int = 0) -> ReviewStore:
    """Return a store whose clock is so much later."""
    return ReviewStore(
        settings.review.url,
        labels=settings.labels,
        wire=settings.wire,
        wall_ms=lambda: time.time_ns() // 1_000_000 + later_ms,
    )


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
    assert await on_topics(store.unsent(), settings) == {whole.verdict.verdict_id}
    store.take_due()
    look = partial(on_topics, settings=settings)
    assert await send_unsent(store, send, look, Progress()) == Sent(0, {}, left=len(NAMES)), "another sender has them"
    with closing(open_store(settings, later_ms=HELD_FOR_MS + 1)) as later:
        assert await send_unsent(later, send, look, Progress()) == Sent(len(NAMES) - 1, {})
    assert await results(settings) == list(NAMES)


@pytest.mark.parametrize("undo_ms", [0, 700])
async def test_of_two_desks_one_sends_each_decision(settings: Settings, store: ReviewStore, undo_ms: int) -> None:
    with closing(open_store(settings)) as other:
        async with in_background(Sender(store, settings).run()), in_background(Sender(other, settings).run()):
            decide(store, undo_ms=undo_ms)
            await until(lambda: all_sent(store))
    assert await results(settings) == list(NAMES)


async def test_a_desk_takes_over_what_one_that_has_ended_was_to_send(settings: Settings, store: ReviewStore) -> None:
    decide(store)
    store.take_due()
    sent, *_ = store.unsent()
    await publish(
        [sent.verdict, sent.routed], settings.broker.connection, prefix=settings.topics.prefix, wire=settings.wire
    )
    with closing(open_store(settings, later_ms=HELD_FOR_MS + 1)) as later:
        async with in_background(Sender(later, settings).run()):
            await until(lambda: all_sent(store))
    assert await results(settings) == list(NAMES)

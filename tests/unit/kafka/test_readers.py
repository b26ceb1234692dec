"""A reader whose start is given up, as a rebalance or a time-out does while the broker is away, leaves no consumer open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import AIOKafkaConsumer

from streams.kafka import readers
from streams.kafka.connection import Connection
from streams.kafka.consumers import start_consumer
from streams.kafka.leader import Leadership
from streams.kafka.readers import reader

NOWHERE = Connection("127.0.0.1:1")


async def read() -> None:
    async with reader(["alerts"], NOWHERE):
        raise AssertionError("it has started")


async def remember() -> None:
    await start_consumer(NOWHERE)


async def lead() -> None:
    async with Leadership("probes", "prober", NOWHERE):
        raise AssertionError("it has started")


@pytest.mark.parametrize("start", [read, remember, lead])
async def test_a_start_that_is_cancelled_closes_its_consumer(
    start: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopped = asyncio.Event(), []

    async def hang(_: AIOKafkaConsumer) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def stop(consumer: AIOKafkaConsumer) -> None:
        consumer._closed = True
        stopped.append(consumer)

    async def there(*_: object) -> None:
        return

    monkeypatch.setattr(AIOKafkaConsumer, "start", hang)
    monkeypatch.setattr(AIOKafkaConsumer, "stop", stop)
    monkeypatch.setattr(readers, "require_topics", there)
    task = asyncio.ensure_future(start())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(stopped) == 1

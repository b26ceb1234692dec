"""Reading a topic again before some offsets, outside its group."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import stamina

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.history import history
from streams.sandbox.brokers.broker import Broker
from tests.support.stages import Topics, topics_on


async def read(
    topics: Topics, before: Mapping[int, int], limit: int = 10_000, since: Mapping[int, int] | None = None
) -> dict[int, list[int]]:
    topic = topics.prefix + "tickets"
    found: dict[int, list[int]] = {partition: [] for partition in before}
    places = {(topic, partition): offset for partition, offset in before.items()}
    begin = {(topic, partition): offset for partition, offset in (since or {}).items()}
    async for record in history(topics.connection(), places, limit, begin):
        found[record.partition].append(record.offset)
    return found


async def test_everything_before_an_offset_in_order_and_nothing_from_it_on(broker: Broker) -> None:
    async with topics_on(broker, partitions=2) as topics:
        for batch in range(3):  # several batches on the broker
            await topics.produce([f"{batch}-{number}" for number in range(300)], partition=0)
        await topics.produce([f"other-{number}" for number in range(10)], partition=1)
        assert await read(topics, {0: 450}) == {0: list(range(450))}
        assert await read(topics, {0: 899, 1: 4}) == {0: list(range(899)), 1: list(range(4))}
        assert await read(topics, {0: 450}, limit=20) == {0: list(range(430, 450))}
        assert await read(topics, {0: 450, 1: 10}, 5, {0: 400}) == {0: list(range(400, 450)), 1: list(range(5, 10))}
        assert await read(topics, {0: 0, 1: 0}) == {0: [], 1: []}


async def test_a_broker_that_is_away_is_waited_for_and_then_given_up() -> None:
    stamina.set_testing(True, attempts=2)
    try:
        with pytest.raises(StopWorker, match="no Kafka broker answers"):
            [record async for record in history(Connection("127.0.0.1:1"), {("tickets", 0): 5}, 10)]
    finally:
        stamina.set_testing(False)

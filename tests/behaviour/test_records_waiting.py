"""Whether records wait is asked of the broker itself, from any offset, and a broker that is away is no answer."""

from __future__ import annotations

import dataclasses

from streams.kafka.lag import records_waiting
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.ports import ReservedPort
from tests.support.stages import topics_on


async def test_counts_what_is_there_from_an_offset_on(broker: Broker) -> None:
    async with topics_on(broker, partitions=2) as topics:
        connection, topic = topics.connection(), topics.prefix + "tickets"
        assert await records_waiting(connection, {}) == 0
        assert await records_waiting(connection, {(topic, 0): None, (topic, 1): None}) == 0
        await topics.produce(["a", "b", "c"], partition=1)
        assert await records_waiting(connection, {(topic, 0): None, (topic, 1): None}) == 3
        assert await records_waiting(connection, {(topic, 0): None, (topic, 1): 2}) == 1
        assert await records_waiting(connection, {(topic, 0): None, (topic, 1): 3}) == 0


async def test_a_broker_that_is_away_does_not_say(broker: Broker) -> None:
    async with topics_on(broker, partitions=1) as topics:
        with ReservedPort() as port:
            nobody = dataclasses.replace(topics.connection(), bootstrap=f"127.0.0.1:{port.number}")
            assert await records_waiting(nobody, {(topics.prefix + "tickets", 0): 0}) is None

"""What the benchmark of a restart measures is a restart: it reads every probe that it has put on the topic."""

from __future__ import annotations

import uuid

from benchmarks.drift.restart import PARTITIONS, Reading, fill, messages
from streams.kafka.connection import Connection
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.broker import Broker


async def test_every_probe_is_read_again_each_endpoint_in_its_order(broker: Broker) -> None:
    endpoints, rows = 6, 400
    connection, prefix = Connection(broker.bootstrap), f"{uuid.uuid4().hex}."
    await create_topics(connection, prefix=prefix, partitions=PARTITIONS, replication=1)
    ends = await fill(connection, endpoints, rows, prefix)
    read = [placed async for placed in Reading(connection).probes({}, ends)]
    assert sum(ends.values()) == len(read) == endpoints * rows
    for endpoint in range(endpoints):
        sent = list(messages(endpoint, rows))
        assert [placed.probe for placed in read if placed.probe.endpoint == sent[0].endpoint] == sent

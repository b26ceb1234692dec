"""The same four topics without any work: what waiting for this broker alone comes to.

``python -m benchmarks.pipeline.bare SETTINGS``. Every message is handed on from topic to topic as it came.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.kafka.producers import start_producer
from streams.settings import Settings, load_settings
from streams.worker.process import tune_interpreter

_PATH = ("tickets", "classifications", "escalations", "routed")


async def hand_on(source: str, target: str, settings: Settings, producer: AIOKafkaProducer) -> None:
    """Copy one topic to another until the process is stopped."""
    prefix = settings.topics.prefix
    consumer = AIOKafkaConsumer(
        prefix + source,
        bootstrap_servers=settings.broker.bootstrap,
        group_id=f"{prefix}bare-{source}",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    while True:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                await producer.send(prefix + target, record.value, record.key)


async def run(settings: Settings) -> None:
    """Hand everything on, from the first topic to the last."""
    producer = await start_producer(settings.broker.connection)
    tune_interpreter()
    await asyncio.gather(*[hand_on(source, target, settings, producer) for source, target in pairwise(_PATH)])


if __name__ == "__main__":
    uvloop.run(run(load_settings(Path(sys.argv[1]))))

"""The obvious program with aiokafka alone: a loop for each stage, a batch at a time.

``python -m benchmarks.pipeline.by_hand SETTINGS``. A batch is read, all its messages are handled at once, what follows is
sent and its delivery awaited, then the offsets are committed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from benchmarks.pipeline.steps import Step, Steps
from schemas import TOPICS, topic_of
from streams.kafka.producers import MAX_BATCH_BYTES, MAX_REQUEST_BYTES
from streams.settings import Settings, load_settings


async def run_stage(name: str, topic: str, step: Step, settings: Settings, producer: AIOKafkaProducer) -> None:
    """Run one stage until the process is stopped."""
    prefix, connection = settings.topics.prefix, settings.broker.connection
    message = TOPICS[topic].message
    consumer = AIOKafkaConsumer(
        prefix + topic,
        bootstrap_servers=connection.bootstrap,
        group_id=f"{prefix}{name}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        session_timeout_ms=int(connection.session_timeout_s * 1000),
        heartbeat_interval_ms=int(connection.heartbeat_s * 1000),
        rebalance_timeout_ms=int(connection.rebalance_timeout_s * 1000),
    )
    await consumer.start()

    async def handle(record: ConsumerRecord) -> None:
        for output in await step(message.decode(record.value)):
            target = topic_of(output)
            await producer.send_and_wait(prefix + target.name, output.encode(), target.key_of(output))

    while True:
        batches = await consumer.getmany(timeout_ms=500, max_records=settings.worker.in_flight)
        if batches:
            await asyncio.gather(*[handle(record) for records in batches.values() for record in records])
            await consumer.commit()


async def run(settings: Settings) -> None:
    """Run the four stages."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.broker.bootstrap,
        acks="all",
        enable_idempotence=True,
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
    )
    await producer.start()
    async with Steps(settings) as steps:
        await asyncio.gather(
            run_stage("classify", "tickets", steps.classify, settings, producer),
            run_stage("score", "classifications", steps.score, settings, producer),
            run_stage("escalate", "escalations", steps.escalate, settings, producer),
            run_stage("review", "reviews", steps.review, settings, producer),
        )


if __name__ == "__main__":
    uvloop.run(run(load_settings(Path(sys.argv[1]))))

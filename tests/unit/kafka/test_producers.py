"""Producers while their broker is away: they are stopped within bounds, and nobody waits for one afterwards."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import TopicPartition

from streams.errors import StopWorker
from streams.kafka import producers
from streams.kafka.connection import Connection
from streams.kafka.producers import start_producer, stop_producer


def test_whoever_waits_for_an_acknowledgement_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers, "_PRODUCER_STOP_S", 0.01)
    said: list[object] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: said.append(context))
        runner.run(_stop_with_somebody_waiting())
    gc.collect()
    assert not said, "an error is left that nobody has looked at, and asyncio prints it"


async def _stop_with_somebody_waiting() -> None:
    accumulator = MessageAccumulator(SimpleNamespace(), 1000, 0, 30.0)
    waiting = await accumulator.add_message(TopicPartition("routed", 0), b"k", b"v", 1.0)

    async def nothing() -> None:
        return

    async def without_end() -> None:
        await asyncio.Event().wait()

    producer: Any = SimpleNamespace(
        stop=without_end,
        client=SimpleNamespace(close=nothing),
        _sender=SimpleNamespace(close=nothing),
        _message_accumulator=accumulator,
    )
    await stop_producer(producer)
    with pytest.raises(ProducerClosed):
        await waiting


@pytest.mark.parametrize("transactional_id", [None, "score-1"])
async def test_a_broker_that_comes_back_and_names_no_broker_yet_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, transactional_id: str | None
) -> None:
    async def start(_: AIOKafkaProducer) -> None:
        raise AssertionError("Did we not perform bootstrap?")

    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    with pytest.raises(StopWorker, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        await start_producer(Connection("127.0.0.1:1"), transactional_id)

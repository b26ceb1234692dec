"""Tickets of producers that compress, with each of Kafka's compressions, on the embedded broker and on Apache Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record import MemoryRecords

from schemas import Ticket
from streams.kafka.compression import COMPRESSIONS, unreadable
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from tests.support.pipelines import pipeline
from tests.support.stages import topics_on

#: Where a batch of records says in its lowest bits how it is compressed; the numbers are those of COMPRESSIONS' order.
_ATTRIBUTES = 22


def compressing(broker: Broker, compression: str) -> AIOKafkaProducer:
    chosen = None if compression == "none" else compression
    # One batch for all tickets of a test: a compressed batch of many records is what a busy producer sends.
    return AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=chosen, linger_ms=50)


async def send(broker: Broker, compression: str, topic: str, tickets: list[Ticket]) -> None:
    producer = compressing(broker, compression)
    await producer.start()
    try:
        sent = [await producer.send(topic, ticket.encode(), key=ticket.ticket_id.encode()) for ticket in tickets]
        for future in sent:
            await future
    finally:
        await producer.stop()


async def test_tickets_of_every_compression_are_routed(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    """One worker, one topic, five producers."""
    async with pipeline(broker, model_server, tmp_path) as run:
        topic = f"{run.settings.topics.prefix}tickets"
        wanted = set()
        for compression in COMPRESSIONS:
            tickets = [
                Ticket(ticket_id=f"{compression}-{number}", text="I would like my money back, please. " * 20)
                for number in range(20)
            ]
            wanted |= {ticket.ticket_id for ticket in tickets}
            await send(broker, compression, topic, tickets)
        await run.until(lambda: run.results.keys() >= wanted)
        assert run.results.keys() == wanted
        assert all(len(ends) == 1 for ends in run.results.values())
        assert run.letters == {}


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_the_broker_keeps_the_compression(
    broker: Broker, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a worker must be able to read it: no broker changes it on the way."""
    kept: set[str] = set()

    def look(batches: bytes) -> MemoryRecords:
        if batches:
            kept.add(COMPRESSIONS[batches[_ATTRIBUTES] & 0b111])
        return MemoryRecords(batches)

    monkeypatch.setattr("aiokafka.consumer.fetcher.MemoryRecords", look)
    tickets = [Ticket(ticket_id=str(number), text=f"Größe {number} \U0001f641 " * 50) for number in range(100)]
    async with topics_on(broker, partitions=1) as topics:
        await send(broker, compression, f"{topics.prefix}tickets", tickets)
        assert await topics.consume("tickets", len(tickets)) == tickets
    assert kept == {compression}


def test_without_cramjam_three_of_them_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unreadable() == []
    monkeypatch.setattr("aiokafka.codec.cramjam", None)
    assert unreadable() == ["snappy", "lz4", "zstd"]

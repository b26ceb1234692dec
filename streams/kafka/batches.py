"""Hands messages to a producer: one by one, or, if there are many, a batch for each partition with one acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.partitioner import DefaultPartitioner

from schemas import Message

#: From this many messages on, an acknowledgement for each costs more than finding their partitions here.
MANY = 64
#: A larger message goes by itself: the producer knows which are too large.
_LARGE_BYTES = 64 * 1024

#: What a message waits for, or why the producer did not take it.
Begun: TypeAlias = Awaitable[object] | KafkaError
#: As the producer's own, so that a key has one partition whichever way it goes.
_partition_of = DefaultPartitioner()


@dataclass(slots=True)
class Parcel:
    """One message as it goes to the producer, encoded once for all its attempts."""

    message: Message
    topic: str
    key: bytes
    value: bytes


async def begin(producer: AIOKafkaProducer, parcels: Sequence[Parcel]) -> Sequence[Begun]:
    """Hand the messages over; return for each what to await, or the refusal."""
    if len(parcels) < MANY:
        return [await _one(producer, parcel) for parcel in parcels]
    begun: dict[int, Begun] = {}
    together: dict[str, list[tuple[int, Parcel]]] = {}
    for number, parcel in enumerate(parcels):
        if len(parcel.value) > _LARGE_BYTES:
            begun[number] = await _one(producer, parcel)
        else:
            together.setdefault(parcel.topic, []).append((number, parcel))
    for topic, numbered in together.items():
        await _of_topic(producer, topic, numbered, begun)
    return [begun[number] for number in range(len(parcels))]


async def _one(producer: AIOKafkaProducer, parcel: Parcel) -> Begun:
    try:
        acknowledgement: asyncio.Future[object] = await producer.send(parcel.topic, key=parcel.key, value=parcel.value)
    except KafkaError as refused:
        return refused
    acknowledgement.add_done_callback(look_at)
    return acknowledgement


def look_at(acknowledgement: asyncio.Future[object]) -> None:
    """Look at the error of what nobody may wait for any more: asyncio prints those that nobody looks at."""
    if not acknowledgement.cancelled():
        acknowledgement.exception()


async def _of_topic(
    producer: AIOKafkaProducer, topic: str, parcels: Iterable[tuple[int, Parcel]], begun: dict[int, Begun]
) -> None:
    try:
        partitions = sorted(await producer.partitions_for(topic))
    except KafkaError as refused:
        begun.update((number, refused) for number, _ in parcels)
        return
    batches: dict[int, tuple[Any, list[int]]] = {}
    for number, parcel in parcels:
        partition = _partition_of(parcel.key, partitions, partitions)
        batch, members = batches.get(partition) or (None, [])
        if batch is None or batch.append(timestamp=None, key=parcel.key, value=parcel.value) is None:
            if batch is not None:  # it is full
                await _submit(producer, topic, partition, batch, members, begun)
            batch, members = batches[partition] = (producer.create_batch(), [])
            batch.append(timestamp=None, key=parcel.key, value=parcel.value)
        members.append(number)
    for partition, (batch, members) in batches.items():
        await _submit(producer, topic, partition, batch, members, begun)


async def _submit(
    producer: AIOKafkaProducer, topic: str, partition: int, batch: Any, members: Iterable[int], begun: dict[int, Begun]
) -> None:
    acknowledgement: Begun
    try:
        future: asyncio.Future[object] = await producer.send_batch(batch, topic, partition=partition)
        future.add_done_callback(look_at)
        acknowledgement = future
        if producer._closed:
            acknowledgement = ProducerClosed()  # it was while the batch waited for its turn, which never comes now
    except KafkaError as refused:
        acknowledgement = refused
    begun.update((number, acknowledgement) for number in members)

"""Sends messages and waits until the broker has them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from schemas import DeadLetter, Message, topic_of
from streams.delivery.dead_letters import shortened
from streams.delivery.reach import refusal
from streams.errors import GiveUp, StopWorker

#: No other producer would fare better.
FINAL = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, TransactionalIdAuthorizationFailed)
#: A batch that was refused for any other lasting reason leaves a gap in an idempotent producer's numbering, and the broker answers
#: everything behind the gap with OutOfOrderSequenceNumber; aiokafka has no way to close it. A sender task that died fails everything.
_KEEPS = (*FINAL, KafkaTimeoutError, ProducerClosed)
_SHORTEST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Parcel:
    """One message as it goes to the producer, encoded once for all its attempts."""

    message: Message
    topic: str
    key: bytes
    value: bytes


class TransactionLost(Exception):
    """What was sent in the open transaction will not be committed: it has to be sent again in the next one."""


class Line(Protocol):
    """The producer of one outbox, and what to do when it can no longer be used."""

    @property
    def final(self) -> bool:
        """Whether what is acknowledged stays; else the next commit decides."""

    def producer(self, before: AIOKafkaProducer | None = None) -> AIOKafkaProducer:
        """Return the producer to use now. ``before`` is the one that has taken a part of what is sent.

        Raises TransactionLost where that part is lost.
        """

    async def broken(self, producer: AIOKafkaProducer) -> None:
        """Note that this producer can no longer be used; raises StopWorker where the broker is away just now."""


class Outbox:
    """Sends a handler's outputs to their topics; returns when every one of them is acknowledged.

    ``retried`` is told the error's name each time a send is tried again: a broker that is away is waited for, without end,
    because the input stays unfinished meanwhile and nothing is lost by waiting.
    """

    def __init__(self, line: Line, prefix: str, retried: Callable[[str], None] = lambda _: None) -> None:
        self._line = line
        self._prefix = prefix
        self._retried = retried

    @property
    def final(self) -> bool:
        """Whether what is acknowledged stays; else the next commit decides."""
        return self._line.final

    async def send(self, messages: Sequence[Message]) -> None:
        """Send and await the acknowledgement of all.

        Raises GiveUp for a message that cannot be encoded or that the broker will never take for its size, StopWorker where it
        will never take any. All acknowledgements are awaited before either is raised. Raises TransactionLost where
        nothing of it will be committed.
        """
        left = [self._packed(message) for message in messages]
        pause = _SHORTEST_PAUSE_S
        producer = self._line.producer()
        while True:
            left, error = await self._try(producer, left)
            producer = self._line.producer(producer)
            if error is None:
                return
            self._retried(type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _packed(self, message: Message) -> _Parcel:
        try:
            topic = topic_of(message)
            return _Parcel(message, self._prefix + topic.name, topic.key_of(message), message.encode())
        except (KeyError, ValueError) as defect:
            raise GiveUp(
                f"an output of type {type(message).__name__} cannot be sent: {defect}", reason="output_not_encodable"
            ) from defect

    async def _try(
        self, producer: AIOKafkaProducer, parcels: Sequence[_Parcel]
    ) -> tuple[list[_Parcel], KafkaError | None]:
        """Send once; return what to send next time and the last error."""
        begun: list[Awaitable[object] | KafkaError] = []
        for parcel in parcels:
            try:
                begun.append(await producer.send(parcel.topic, key=parcel.key, value=parcel.value))
            except KafkaError as refused:
                begun.append(refused)
        failed: list[tuple[_Parcel, KafkaError]] = []
        for parcel, acknowledgement in zip(parcels, begun, strict=True):
            try:
                if isinstance(acknowledgement, KafkaError):
                    failed.append((parcel, acknowledgement))
                else:
                    await acknowledgement
            except KafkaError as refused:
                failed.append((parcel, refused))
        # What failed may be on the topic all the same, and in a transaction a second one beside it would be seen.
        usable = self._line.final and all(error.retriable or isinstance(error, _KEEPS) for _, error in failed)
        if failed and not usable:
            try:
                await self._line.broken(producer)
            except StopWorker as away:
                # The broker is away just now: the next attempt fails like this one, and asks again.
                self._retried(type(away).__name__)
        left = [self._again(parcel, error) for parcel, error in failed]
        return left, failed[-1][1] if failed else None

    def _again(self, parcel: _Parcel, error: KafkaError) -> _Parcel:
        """Return what to send next time instead of the message that failed, or raise where there is no next time."""
        message = parcel.message
        if isinstance(error, MessageSizeTooLargeError):
            if isinstance(message, DeadLetter) and (shorter := shortened(message)) != message:
                return self._packed(shorter)
            raise GiveUp(
                f"the broker refuses a message of {len(parcel.value)} bytes on {parcel.topic}",
                reason="output_too_large",
            ) from error
        if isinstance(error, FINAL):
            refused = refusal(error) or f"the broker refuses this worker: {type(error).__name__}: {error}"
            raise StopWorker(refused) from error
        return parcel

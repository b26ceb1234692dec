"""Sends messages and waits until the broker has them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
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

from schemas import NEWEST, Message, WireFormat, topic_of
from streams.aio import SharedOrAlone
from streams.errors import GiveUp, StopWorker
from streams.kafka.batches import Parcel, begin
from streams.kafka.diagnosis import refusal

#: No other producer would fare better.
FINAL = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, TransactionalIdAuthorizationFailed)
#: A batch that was refused for any other lasting reason leaves a gap in an idempotent producer's numbering, and the broker answers
#: everything behind the gap with OutOfOrderSequenceNumber; aiokafka has no way to close it. A sender task that died fails everything.
_KEEPS = (*FINAL, KafkaTimeoutError, ProducerClosed)
_SHORTEST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0


class TransactionLost(Exception):
    """What was sent in the open transaction will not be committed: it has to be sent again in the next one."""


class Refused(GiveUp):
    """What cannot be sent, or was not sent together with something that cannot: ``messages``, in an order of no meaning."""

    def __init__(self, message: str, messages: Sequence[Message], reason: str) -> None:
        super().__init__(message, reason=reason)
        self.messages = messages


class Line(Protocol):
    """The producer of one outbox, and what to do when it can no longer be used."""

    @property
    def final(self) -> bool:
        """Whether what is acknowledged stays; else the next commit decides."""

    def producer(self, before: AIOKafkaProducer | None = None) -> AIOKafkaProducer:
        """Return the producer to use now. ``before`` is the one that has taken a part of what is sent.

        Raises TransactionLost if that part is lost.
        """

    async def broken(self, producer: AIOKafkaProducer) -> None:
        """Note that this producer can no longer be used; raises StopWorker if the broker is unavailable just now."""


class Outbox:
    """Sends a handler's outputs to their topics; returns when every one of them is acknowledged.

    ``retried`` is called with the error's name each time a send is tried again. The outbox waits for an unavailable broker
    without end: the input stays unfinished meanwhile, so nothing is lost by waiting.
    """

    def __init__(
        self,
        line: Line,
        prefix: str,
        retried: Callable[[str], None] = lambda _: None,
        *,
        wire: WireFormat = NEWEST,
    ) -> None:
        self._line = line
        self._wire = wire
        self._prefix = prefix
        self._retried = retried
        self._access = SharedOrAlone()

    @property
    def final(self) -> bool:
        """Whether what is acknowledged stays; else the next commit decides."""
        return self._line.final

    async def send(self, messages: Sequence[Message]) -> None:
        """Send and await the acknowledgement of all.

        Raises Refused if a message cannot be encoded, or if the broker will never take a batch for its size: unless it
        is sent apart, that may be for the sake of another one in the same batch. Raises StopWorker if it will never take any.
        All acknowledgements are awaited before either is raised. Raises TransactionLost if nothing of it will be committed.
        """
        pinned = self._line.producer()  # before any wait: what comes after it may be another assignment's transaction
        async with self._access.shared():
            await self._send(pinned, messages)

    async def send_apart(self, messages: Sequence[Message]) -> None:
        """As send, one message after the other and while nothing else is sent: a refusal is for that very message."""
        pinned = self._line.producer()
        async with self._access.alone():
            for message in messages:
                await self._send(pinned, [message])

    async def _send(self, pinned: AIOKafkaProducer, messages: Sequence[Message]) -> None:
        left: Sequence[Parcel] = [self._packed(message, messages) for message in messages]
        pause = _SHORTEST_PAUSE_S
        while True:
            producer = self._line.producer(pinned)
            left, error = await self._try(producer, left)
            self._line.producer(pinned)  # what a transaction acknowledged is lost with it
            if error is None:
                return
            self._retried(type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _packed(self, message: Message, unsent: Sequence[Message]) -> Parcel:
        try:
            topic = topic_of(message)
            return Parcel(message, self._prefix + topic.name, topic.key_of(message), self._wire.encode(message))
        except (KeyError, ValueError) as defect:
            raise Refused(
                f"an output of type {type(message).__name__} cannot be sent: {defect}",
                unsent,
                "output_not_encodable",
            ) from defect

    async def _try(
        self, producer: AIOKafkaProducer, parcels: Sequence[Parcel]
    ) -> tuple[list[Parcel], KafkaError | None]:
        """Send once; return what to send next time and the last error."""
        begun = await begin(producer, parcels)
        failed: list[tuple[Parcel, KafkaError]] = []
        for parcel, acknowledgement in zip(parcels, begun, strict=True):
            try:
                if isinstance(acknowledgement, KafkaError):
                    failed.append((parcel, acknowledgement))
                else:
                    await acknowledgement
            except KafkaError as refused:
                # A batch has one error for all of its messages, which would carry a traceback from every one of them.
                failed.append((parcel, refused.with_traceback(None)))
        if failed:
            self._line.producer(producer)  # a transaction that is lost already says nothing about its messages
        # What failed may be on the topic all the same, and in a transaction a second one beside it would be seen.
        usable = self._line.final and all(error.retriable or isinstance(error, _KEEPS) for _, error in failed)
        if failed and not usable:
            try:
                await self._line.broken(producer)
            except StopWorker as away:
                # The broker is unavailable just now: the next attempt fails like this one, and asks again.
                self._retried(type(away).__name__)
        for parcel, error in failed:
            self._check(parcel, error, [each.message for each, _ in failed])
        return [parcel for parcel, _ in failed], failed[-1][1] if failed else None

    def _check(self, parcel: Parcel, error: KafkaError, unsent: Sequence[Message]) -> None:
        """Raise if there is no next time."""
        if isinstance(error, MessageSizeTooLargeError):
            raise Refused(
                f"the broker refuses a message of {len(parcel.value)} bytes on {parcel.topic}",
                unsent,
                "output_too_large",
            ) from error
        if isinstance(error, FINAL):
            refused = refusal(error) or f"the broker refuses this worker: {type(error).__name__}: {error}"
            raise StopWorker(refused) from error

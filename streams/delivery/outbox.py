"""Sends messages and waits until the broker has them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
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

from schemas import Message, topic_of
from streams.delivery.batches import begin
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
        self._sending = 0
        self._idle = asyncio.Event()
        self._apart = asyncio.Lock()

    @property
    def final(self) -> bool:
        """Whether what is acknowledged stays; else the next commit decides."""
        return self._line.final

    async def send(self, messages: Sequence[Message]) -> None:
        """Send and await the acknowledgement of all.

        Raises GiveUp where a message cannot be encoded, and where the broker will never take a batch for its size: unless it is
        sent apart, that may be for the sake of another one in the same batch. Raises StopWorker where it will never take any.
        All acknowledgements are awaited before either is raised. Raises TransactionLost where nothing of it will be committed.
        """
        if self._apart.locked():
            async with self._apart:
                pass
        self._sending += 1
        try:
            await self._send([self._packed(message) for message in messages])
        finally:
            self._sending -= 1
            if not self._sending:
                self._idle.set()

    async def send_apart(self, messages: Sequence[Message]) -> None:
        """As send, one message after the other and while nothing else is sent: a refusal is for that very message."""
        async with self._apart:
            while self._sending:
                self._idle.clear()
                await self._idle.wait()
            for message in messages:
                await self._send([self._packed(message)])

    async def _send(self, left: Sequence[_Parcel]) -> None:
        pause = _SHORTEST_PAUSE_S
        producer = self._line.producer()
        while left:
            left, error = await self._try(producer, left)
            producer = self._line.producer(producer)
            if error is not None:
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
        begun = await begin(producer, parcels)
        failed: list[tuple[_Parcel, KafkaError]] = []
        for parcel, acknowledgement in zip(parcels, begun, strict=True):
            try:
                if isinstance(acknowledgement, KafkaError):
                    failed.append((parcel, acknowledgement))
                else:
                    await acknowledgement
            except KafkaError as refused:
                # A batch has one error for all of its messages, which would carry a traceback from every one of them.
                failed.append((parcel, refused.with_traceback(None)))
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
        if isinstance(error, MessageSizeTooLargeError):
            raise GiveUp(
                f"the broker refuses a message of {len(parcel.value)} bytes on {parcel.topic}",
                reason="output_too_large",
            ) from error
        if isinstance(error, FINAL):
            refused = refusal(error) or f"the broker refuses this worker: {type(error).__name__}: {error}"
            raise StopWorker(refused) from error
        return parcel

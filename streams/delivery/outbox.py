"""Sends messages and waits until the broker has them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    TopicAuthorizationFailedError,
)

from schemas import DeadLetter, Message, topic_of
from streams.delivery.dead_letters import shortened
from streams.errors import GiveUp, StopWorker

_FINAL = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, ProducerFenced)
_LONGEST_PAUSE_S = 5.0


class Outbox:
    """Sends a handler's outputs to their topics; returns when every one of them is acknowledged.

    ``retried`` is told the error's name each time a send is tried again: a broker that is away is waited for, without end,
    because the input stays unfinished meanwhile and nothing is lost by waiting.
    """

    def __init__(
        self, producer: AIOKafkaProducer, prefix: str, retried: Callable[[str], None] = lambda _: None
    ) -> None:
        self._producer = producer
        self._prefix = prefix
        self._retried = retried

    async def send(self, messages: Sequence[Message]) -> None:
        """Send and await the acknowledgement of all.

        Raises GiveUp for a message that the broker will never take for its size, StopWorker where it will never take any.
        """
        left = list(messages)
        pause = 0.05
        while left:
            left, error = await self._try(left)
            if error is None:
                return
            self._retried(type(error).__name__)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _try(self, messages: list[Message]) -> tuple[list[Message], KafkaError | None]:
        """Send once; return the messages that failed and the last error."""
        sent = []
        failed: list[Message] = []
        error: KafkaError | None = None
        for message in messages:
            topic = topic_of(message)
            try:
                future = await self._producer.send(
                    self._prefix + topic.name, key=topic.key_of(message), value=message.encode()
                )
            except KafkaError as refused:
                error = refused
                failed.append(_again(message, refused))
            else:
                sent.append((message, future))
        for message, future in sent:
            try:
                await future
            except KafkaError as refused:
                error = refused
                failed.append(_again(message, refused))
        return failed, error


def _again(message: Message, error: KafkaError) -> Message:
    """Return what to send next time instead of the message that failed, or raise where there is no next time."""
    if isinstance(error, MessageSizeTooLargeError):
        if isinstance(message, DeadLetter) and message.original_size == len(message.original):
            return shortened(message)
        raise GiveUp(
            f"the broker refuses a message of this size on {topic_of(message).name}", reason="output_too_large"
        ) from error
    if isinstance(error, _FINAL):
        raise StopWorker(f"the broker refuses this worker: {type(error).__name__}: {error}") from error
    return message

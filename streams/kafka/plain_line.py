"""The producer behind an outbox that works at least once: whatever is acknowledged stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaProducer


class PlainLine:
    """One producer, replaced if it can no longer be used.

    ``start`` returns another one and ``stop`` stops one; without them the same producer is used for good.
    """

    final = True

    def __init__(
        self,
        producer: AIOKafkaProducer,
        start: Callable[[], Awaitable[AIOKafkaProducer]] | None = None,
        stop: Callable[[AIOKafkaProducer], Awaitable[None]] = AIOKafkaProducer.stop,
    ) -> None:
        self._producer = producer
        self._start = start
        self._stop = stop
        self._renewing = asyncio.Lock()

    def producer(self, before: AIOKafkaProducer | None = None) -> AIOKafkaProducer:
        """Return the present producer; what another one had acknowledged before stays."""
        del before
        return self._producer

    async def broken(self, producer: AIOKafkaProducer) -> None:
        """Replace a producer, once however many sends found it broken; raises StopWorker if the broker is unavailable."""
        async with self._renewing:
            if self._start is not None and self._producer is producer:
                self._producer = await self._start()
                await self._stop(producer)

    async def stop(self) -> None:
        """Stop the present producer."""
        await self._stop(self._producer)

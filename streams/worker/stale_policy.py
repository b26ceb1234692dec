"""Follows the alerts topic, so that a worker knows whether its policy is stale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from schemas import Alert, Tier
from streams.core.drift.stale_policy import StalePolicy
from streams.errors import StopWorker
from streams.kafka.readers import decode, reader, to_the_end
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: A worker that cannot read the alerts that are there does not start: it would accept what it must not.
_CATCH_UP_S = 60.0


@asynccontextmanager
async def following_alerts(
    settings: Settings, failed: Callable[[StopWorker], None], told: Callable[[Tier, bool], None]
) -> AsyncIterator[Mapping[Tier, StalePolicy]]:
    """Yield each tier's staleness once all alerts that are there were read, and keep it up to date.

    Every worker reads the whole topic by itself, outside any group. ``told`` hears of every tier at the beginning and of
    each change, ``failed`` of an end of the reading. Without probed endpoints nothing is read and nothing ever stale.
    """
    stale: dict[Tier, StalePolicy] = {
        tier: StalePolicy(settings.policy.id, settings.probed_names(tier)) for tier in ("cheap", "big")
    }
    if not any(settings.probed_names(tier) for tier in stale):
        yield stale
        return
    prefix = settings.topics.prefix
    async with reader(["alerts"], settings.broker.connection, prefix=prefix) as consumer:
        follower = _Follower(consumer, prefix, stale, told)
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await follower.catch_up()
        except TimeoutError:
            raise StopWorker(f"the alerts topic cannot be read within {_CATCH_UP_S:g} s") from None
        task = asyncio.create_task(follower.follow())
        task.add_done_callback(lambda done: _report(done, failed))
        try:
            yield stale
        finally:
            task.cancel()
            await asyncio.wait({task})


class _Follower:
    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        prefix: str,
        stale: Mapping[Tier, StalePolicy],
        told: Callable[[Tier, bool], None],
    ) -> None:
        self._consumer = consumer
        self._prefix = prefix
        self._stale = stale
        self._told = told

    async def catch_up(self) -> None:
        """Read what is there."""
        async for record in to_the_end(self._consumer):
            self._take(record)
        for tier, stale in self._stale.items():
            self._told(tier, bool(stale))

    async def follow(self) -> None:
        """Read on, for ever."""
        async for record in self._consumer:
            self._take(record)

    def _take(self, record: ConsumerRecord) -> None:
        alert = decode(record, self._prefix)
        if isinstance(alert, Alert):
            self._update(alert)

    def _update(self, alert: Alert) -> None:
        for tier, stale in self._stale.items():
            if stale.update(alert):
                log.warning("policy stale" if stale else "policy no longer stale", tier=tier, because=alert.summary)
                self._told(tier, bool(stale))


def _report(task: asyncio.Task[None], failed: Callable[[StopWorker], None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        failed(StopWorker(f"the alerts topic can no longer be read: {error!r}"))

"""Follows the alerts topic: whether the policy is stale, what is paused, whether reviewers have too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from schemas import Alert, Tier
from streams.core.drift.stale_policy import StalePolicy
from streams.core.drift.traffic_told import TrafficTold
from streams.core.guards.alert_book import AlertBook
from streams.core.guards.finding import AlertKind
from streams.core.guards.pauses import Pauses
from streams.core.guards.review_load import ReviewOverload
from streams.errors import StopWorker
from streams.kafka.diagnosis import refusal
from streams.kafka.readers import decode, reader, to_the_end
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: A worker that cannot read the alerts that are there does not start: it would accept what it must not.
_CATCH_UP_S = 60.0
_TIERS: tuple[Tier, ...] = ("cheap", "big")


#: What has a line in the log only as an alert. An endpoint that does not answer has its own, in every worker that asks it.
_OF_GUARDS = frozenset(
    {
        AlertKind.SIGNAL_OUTAGE,
        AlertKind.CONTRACT_CHANGED,
        AlertKind.MODEL_NOT_ALLOWED,
        AlertKind.ESCALATION_BUDGET,
        AlertKind.SPEND_BUDGET,
        AlertKind.ESCALATION_SILENCE,
        AlertKind.ESCALATION_FLOOD,
        AlertKind.EXCEPTION_IN_USE,
    }
)


def _is_of_guards(alert: Alert) -> bool:
    """Return whether an alert is one of those, or the end of one."""
    was = {str(each).partition(":")[0] for each in alert.details.get("was", ())}
    return alert.kind in _OF_GUARDS or (alert.kind == AlertKind.RECOVERED and not was.isdisjoint(_OF_GUARDS))


class Followed:
    """What the alerts topic has told so far."""

    def __init__(self, settings: Settings) -> None:
        self.book = AlertBook(settings.guards.remind_s, settings.topics.prefix)
        self.stale = {tier: StalePolicy(settings.policy.id, settings.probed_names(tier)) for tier in _TIERS}
        self.pauses = Pauses()
        self.overload = ReviewOverload()
        self.traffic = TrafficTold()

    def take(self, alert: Alert) -> None:
        """Take the next alert, and log what it changes, or that guards have told it."""
        if _is_of_guards(alert) and not self.book.is_on_topic(alert):
            log.warning("alert", kind=alert.kind, source=alert.source, because=alert.summary)
        self.book.take(alert)
        self.traffic.update(alert)
        for tier, stale in self.stale.items():
            if stale.update(alert):
                log.warning("policy stale" if stale else "policy no longer stale", tier=tier, because=alert.summary)
        if self.pauses.update(alert):
            log.warning(f"workers {alert.kind}", because=alert.summary)
        if self.overload.update(alert):
            log.warning(
                "tickets for reviewers wait" if self.overload else "tickets for reviewers go on", because=alert.summary
            )

    def catch_up(self, alerts: Iterable[Alert]) -> None:
        """Take the alerts that were there before, and log what stands of them."""
        for alert in alerts:
            self.book.take(alert)
            self.traffic.update(alert)
            self.pauses.update(alert)
            self.overload.update(alert)
            for stale in self.stale.values():
                stale.update(alert)
        for tier, stale in self.stale.items():
            for alert in stale.standing:
                log.warning("policy stale", tier=tier, because=alert.summary)
        for alert in self.pauses.standing:
            log.warning("workers paused", because=alert.summary)
        if self.overload:
            log.warning("tickets for reviewers wait")


@asynccontextmanager
async def following_alerts(
    settings: Settings,
    failed: Callable[[StopWorker], None],
    changed: Callable[[Followed], None],
    followed: Followed | None = None,
) -> AsyncIterator[Followed]:
    """Yield what the alerts that are there have told, and keep it up to date; ``followed`` is what to fill.

    Every worker reads the whole topic by itself, outside any group. ``changed`` is called once all is read and after each
    further alert, ``failed`` at an end of the reading. Raises StopWorker if the topic cannot be read.
    """
    prefix = settings.topics.prefix
    async with reader(["alerts"], settings.broker.connection, prefix=prefix) as consumer:
        follower = _Follower(consumer, prefix, followed or Followed(settings), changed)
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await follower.catch_up()
        except TimeoutError:
            raise StopWorker(f"the alerts topic cannot be read within {_CATCH_UP_S:g} s") from None
        task = asyncio.create_task(follower.follow())
        task.add_done_callback(lambda done: _report(done, failed, settings))
        try:
            yield follower.followed
        finally:
            task.cancel()
            await asyncio.wait({task})


class _Follower:
    def __init__(
        self, consumer: AIOKafkaConsumer, prefix: str, followed: Followed, changed: Callable[[Followed], None]
    ) -> None:
        self.followed = followed
        self._consumer = consumer
        self._prefix = prefix
        self._changed = changed

    async def catch_up(self) -> None:
        """Read what is there."""
        alerts = [self._alert(record) async for record in to_the_end(self._consumer)]
        self.followed.catch_up(filter(None, alerts))
        self._changed(self.followed)

    async def follow(self) -> None:
        """Read on, for ever."""
        async for record in self._consumer:
            alert = self._alert(record)
            if alert is not None:
                self.followed.take(alert)
                self._changed(self.followed)

    def _alert(self, record: ConsumerRecord) -> Alert | None:
        alert = decode(record, self._prefix)
        return alert if isinstance(alert, Alert) else None


def _report(task: asyncio.Task[None], failed: Callable[[StopWorker], None], settings: Settings) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        refused = refusal(error, settings.broker.connection.security)
        failed(StopWorker(refused or f"the alerts topic can no longer be read: {error!r}"))

"""Probes every endpoint on its schedule and puts what came of it on ``probes``; one prober leads, others stand by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import structlog

from schemas import TOPICS, Probe
from streams.core.drift.schedule import due_at, slot_at
from streams.errors import GiveUp, StopWorker
from streams.kafka.leader import Leadership
from streams.kafka.outbox import Outbox
from streams.kafka.send import open_outbox
from streams.kafka.topics import require_topics
from streams.models.probed_endpoint import ProbedEndpoint
from streams.prober.metrics import ProbeMetrics
from streams.prober.probing import Probing
from streams.settings import Settings

log = structlog.get_logger(__name__)

_GROUP = "prober"


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Prober:
    """Probes until it is cancelled. ``told`` hears of every probe that was sent.

    A slot of the schedule whose probe was not made in time by anybody is made by the next leader, late; slots that went by
    meanwhile are left out. A probe has its slot's id, so one that two probers made counts once.
    """

    def __init__(
        self,
        settings: Settings,
        endpoints: Sequence[ProbedEndpoint],
        *,
        metrics: ProbeMetrics,
        told: Callable[[Probe], None] = lambda _: None,
        wall_ms: Callable[[], int] = _wall_ms,
    ) -> None:
        self._settings = settings
        self._endpoints = tuple(endpoints)
        self._metrics = metrics
        self._told = told
        self._wall_ms = wall_ms
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Join the group of probers and probe whenever this one leads; raises StopWorker without broker, topics or rights."""
        connection, prefix = self._settings.broker.connection, self._settings.topics.prefix
        topic = prefix + TOPICS["probes"].name
        async with AsyncExitStack() as stack:
            probings = [Probing(endpoint) for endpoint in self._endpoints]
            for endpoint in self._endpoints:
                if endpoint.price is None:
                    log.warning("no price is known: costs are null", endpoint=endpoint.name, model=endpoint.model)
            for probing in probings:
                stack.push_async_callback(probing.close)
            await require_topics(connection, prefix, [TOPICS["probes"].name])
            outbox = await stack.enter_async_context(open_outbox(connection, prefix=prefix, wire=self._settings.wire))
            leadership = await stack.enter_async_context(Leadership(topic, prefix + _GROUP, connection))
            self.ready.set()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(leadership.membership())
                    tasks.create_task(self._watch_leadership(leadership))
                    for probing in probings:
                        tasks.create_task(self._follow_schedule(probing, outbox, leadership.leading))
            except BaseExceptionGroup as group:
                stopped = next((error for error in group.exceptions if isinstance(error, StopWorker)), None)
                if stopped is None:
                    raise
                raise stopped from None

    async def _follow_schedule(self, probing: Probing, outbox: Outbox, leading: asyncio.Event) -> None:
        endpoint = probing.endpoint
        slot_ms = slot_at(self._wall_ms(), endpoint.interval_ms)
        while True:
            due_ms = due_at(endpoint.name, slot_ms, endpoint.jitter_ms)
            await asyncio.sleep(max(0, due_ms - self._wall_ms()) / 1000)
            await leading.wait()
            now_slot_ms = slot_at(self._wall_ms(), endpoint.interval_ms)
            if now_slot_ms > slot_ms:
                slot_ms = now_slot_ms  # its time went by in waiting
                continue
            await self._send(await probing.probe(slot_ms), endpoint, outbox)
            slot_ms = max(slot_ms + endpoint.interval_ms, slot_at(self._wall_ms(), endpoint.interval_ms))

    async def _send(self, probe: Probe, endpoint: ProbedEndpoint, outbox: Outbox) -> None:
        try:
            await outbox.send([probe])
        except GiveUp as refused:
            # What the endpoint answered cannot travel: that is a finding about the endpoint, too.
            probe = probe.model_copy(update={"logprobs": None, "error": f"{refused.reason}: {refused}"})
            await outbox.send([probe])
        self._metrics.probed(probe, endpoint)
        self._told(probe)

    async def _watch_leadership(self, leadership: Leadership) -> None:
        while True:
            await leadership.leading.wait()
            self._metrics.leads(leading=True)
            log.info("this prober leads", endpoints=len(self._endpoints))
            await leadership.lost()
            self._metrics.leads(leading=False)
            log.info("this prober no longer leads")


async def probe_once(endpoints: Sequence[ProbedEndpoint]) -> list[Probe]:
    """Probe every endpoint now, all at once, and return the probes of the present slots."""

    async def one(endpoint: ProbedEndpoint) -> Probe:
        probing = Probing(endpoint)
        try:
            return await probing.probe(slot_at(_wall_ms(), endpoint.interval_ms))
        finally:
            await probing.close()

    return list(await asyncio.gather(*(one(endpoint) for endpoint in endpoints)))

"""Several workers' guards around one endpoint, that hear of one another over what stands for the topics."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas import Alert, Call
from streams.agents import guards as guards_module
from streams.agents.guards import Aside, Clock, Guards
from streams.core.fleet import Member
from streams.core.guards import GuardLimits
from streams.core.guards.alert_book import AlertBook
from streams.core.policy.policy import Decision
from tests.support.contracts import contracts
from tests.support.handlers import AskedModel
from tests.support.messages import call, scored, ticket, unscorable

GOOD = call(signal=scored())
BAD = call(signal=unscorable(label="refund"))
NOON_MS = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp() * 1000)


@dataclass
class Worker:
    """One worker's guards around the cheap tier, which answers as the pipeline says."""

    name: str
    pipeline: Pipeline
    limits: GuardLimits
    asked: int = 0
    trials: int = 0

    def __post_init__(self) -> None:
        pipeline = self.pipeline
        self.member = Member(self.name, "g", {"money": self.limits.money})
        for state in pipeline.said.values():
            self.member.update(state, pipeline.wall_ms())
        self.book = AlertBook()
        for alert in pipeline.alerts:
            self.book.take(alert)
        clock = Clock(lambda: pipeline.seconds, pipeline.wall_ms, self.book)
        aside = Aside(pipeline.tell, self._tried)
        self.guards = Guards(contracts(), self.limits, None, clock, aside, member=self.member)
        self.model = self.guards.guarded(AskedModel("cheap", self._answer))
        self.decisions = self.guards.decisions("cheap", "cheap-model")

    async def _answer(self, _: str) -> Call:
        self.asked += 1
        return self.pipeline.answer()

    def _tried(self, _: Call) -> None:
        self.trials += 1

    async def ask(self, times: int = 1) -> None:
        for _ in range(times):
            self.pipeline.tell_all((await self.model.ask(ticket())).alerts)

    def decide(self, *, escalates: bool) -> None:
        decision = Decision("escalate", ("high_entropy",)) if escalates else Decision("accept", (), 0.9, 0.3)
        self.pipeline.tell_all(self.decisions.check(decision, GOOD).alerts)

    @property
    def is_open(self) -> bool:
        return self.model.contract.reached()


@dataclass
class Pipeline:
    """A clock, an endpoint, and the two topics over which the workers hear of one another."""

    limits: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    bad: float = 0.0
    alerts: list[Alert] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(17))

    def wall_ms(self) -> int:
        return NOON_MS + int(self.seconds * 1000)

    def answer(self) -> Call:
        return BAD if self.chance.random() < self.bad else GOOD

    def start(self, name: str) -> Worker:
        worker = Worker(name, self, GuardLimits(**self.limits))
        self.workers.append(worker)
        self.pass_time(0.0)
        return worker

    def stop(self, worker: Worker) -> None:
        self._say(worker, stopped=True)
        self.workers.remove(worker)

    def tell(self, alert: Alert) -> None:
        if alert.alert_id not in {each.alert_id for each in self.alerts}:
            self.alerts.append(alert)
        for worker in self.workers:
            worker.book.take(alert)

    def tell_all(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self.tell(alert)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, after which everybody has said how things are, and has heard it."""
        self.seconds += seconds
        for worker in self.workers:
            self._say(worker)

    def _say(self, worker: Worker, *, stopped: bool = False) -> None:
        state = self.said[worker.name] = worker.member.state(self.wall_ms(), stopped=stopped)
        for each in self.workers:
            each.member.update(state, self.wall_ms())

    @property
    def kinds(self) -> list[str]:
        return [alert.kind for alert in self.alerts]


async def look(worker: Worker, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Let a worker look so often at what the others say."""
    looks = 0

    async def pause(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks > times:
            raise asyncio.CancelledError

    monkeypatch.setattr(guards_module.asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await worker.model.follow()
    monkeypatch.undo()

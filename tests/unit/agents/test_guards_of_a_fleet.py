"""Several workers' guards that hear of one another: one breaker, one that tries, and rates over the calls of all."""

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
CHEAP = "cheap:cheap-model"


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
        self.member = Member(self.name, "g", {})
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


async def test_a_breaker_that_one_opens_is_open_at_all_and_nothing_more_is_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Pipeline()
    one, *others = [pipeline.start(name) for name in ("a", "b", "c")]
    pipeline.bad = 1.0
    await one.ask(20)
    assert [worker.is_open for worker in (one, *others)] == [True, False, False]
    pipeline.pass_time(1.0)
    for worker in others:
        await look(worker, monkeypatch)
        await worker.ask(5)
        assert worker.is_open
        assert worker.asked == 0
    late = pipeline.start("d")
    await look(late, monkeypatch)
    assert late.is_open
    assert pipeline.kinds == ["contract_changed"]


async def test_the_lowest_live_worker_makes_the_trials_and_closes_it_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline()
    lowest, middle, finder = [pipeline.start(name) for name in ("a", "b", "c")]
    pipeline.bad = 1.0
    await finder.ask(20)
    pipeline.pass_time(1.0)
    for worker in (lowest, middle):
        await look(worker, monkeypatch)
    pipeline.pass_time(15.0)
    for worker in (lowest, middle, finder):
        await look(worker, monkeypatch)
    assert [worker.trials for worker in (lowest, middle, finder)] == [1, 0, 0]
    pipeline.stop(lowest)  # it says so: the next one need not wait until it is taken for dead
    pipeline.bad = 0.0
    pipeline.pass_time(15.0)
    await look(finder, monkeypatch)
    await look(middle, monkeypatch, times=3)
    assert (middle.trials, finder.trials) == (3, 0)
    assert (middle.is_open, finder.is_open) == (False, True)
    pipeline.pass_time(1.0)
    await look(finder, monkeypatch)
    assert not finder.is_open
    await finder.ask(5)
    assert finder.asked == 25
    assert pipeline.kinds == ["contract_changed", "recovered"]


async def test_after_a_minute_of_silence_the_others_try_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline()
    _, other = pipeline.start("a"), pipeline.start("b")
    pipeline.bad = 1.0
    await other.ask(20)
    pipeline.pass_time(0.0)
    pipeline.seconds += 59.0  # the broker is away: nobody says anything
    await other.ask()
    assert other.asked == 20
    pipeline.seconds += 2.0
    await other.ask()
    assert other.asked == 21


async def test_an_outage_too_small_for_each_worker_is_seen_in_the_sum_once() -> None:
    pipeline = Pipeline()
    workers = [pipeline.start(name) for name in "abcd"]

    async def rounds(times: int) -> None:
        for _ in range(times):
            for worker in workers:
                await worker.ask()
            pipeline.pass_time(1.0)

    await rounds(300)
    assert pipeline.alerts == []
    pipeline.bad = 0.09
    await rounds(100)
    assert pipeline.kinds == ["signal_outage"]
    assert pipeline.alerts[0].details["window"] > 300
    pipeline.bad = 0.0
    await rounds(100)
    assert pipeline.kinds == ["signal_outage", "recovered"]

    alone = Pipeline(chance=random.Random(17))
    worker = alone.start("a")
    await worker.ask(300)
    alone.bad = 0.09
    await worker.ask(100)
    assert alone.alerts == []


@pytest.mark.parametrize(("share", "kind"), [(0.0, "escalation_silence"), (0.75, "escalation_flood")])
def test_the_share_of_escalations_is_that_of_all(share: float, kind: str) -> None:
    pipeline = Pipeline()
    workers = [pipeline.start(name) for name in "abcd"]

    def decide(each: int, share: float) -> None:
        for _ in range(each):
            for worker in workers:
                worker.decide(escalates=pipeline.chance.random() < share)
        pipeline.pass_time(1.0)

    for _ in range(20):
        decide(50, 0.2)
    assert pipeline.alerts == []
    for _ in range(2):
        decide(50, share)
    assert pipeline.kinds == [kind]
    assert pipeline.alerts[0].details["window"] == 800
    for _ in range(8):
        decide(50, 0.2)
    assert pipeline.kinds == [kind, "recovered"]


def test_few_escalations_that_end_are_noticed_sooner_by_all_together() -> None:
    pipeline = Pipeline()
    workers = [pipeline.start(name) for name in "abcd"]

    def decide(rounds: int, every: int) -> int:
        for number in range(rounds):
            for place, worker in enumerate(workers):
                worker.decide(escalates=bool(every) and (4 * number + place) % every == 0)
            pipeline.pass_time(0.5)
            if pipeline.alerts:
                return number
        return rounds

    decide(1500, 97)
    assert pipeline.alerts == []
    assert decide(1500, 0) < 700
    assert pipeline.kinds == ["escalation_silence"]
    assert pipeline.alerts[0].details["since_last"] > 1000

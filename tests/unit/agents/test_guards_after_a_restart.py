"""Workers that start again go on where they were: nothing is told twice, and nothing that straddles a restart is missed."""

from __future__ import annotations

import asyncio
import time

import pytest

from schemas import Alert, Call, Reason
from streams.agents.guards import Clock
from streams.agents.waiting import WaitingModel
from streams.core.guards import AlertKind
from streams.core.guards.alert_book import AlertBook
from streams.core.guards.availability import OutageRule
from streams.models.outlook import Outlook
from tests.support.fleets import Pipeline, Worker
from tests.support.handlers import AskedModel
from tests.support.messages import attempt, call, ticket, unscorable


def again(pipeline: Pipeline, worker: Worker, *, stopped: bool = True) -> Worker:
    """Start a worker again under another name: after its stop, or after it was killed."""
    if stopped:
        pipeline.stop(worker)
    else:
        pipeline.workers.remove(worker)
    return pipeline.start(f"{worker.name}'")


def roll(pipeline: Pipeline) -> None:
    """Start all of the workers again, one after another."""
    for worker in list(pipeline.workers):
        again(pipeline, worker)
        pipeline.pass_time(5.0)


async def rounds(pipeline: Pipeline, times: int) -> None:
    for number in range(times):
        for worker in pipeline.workers:
            await worker.ask()
            worker.decide(escalates=number % 5 == 0)
        pipeline.pass_time(0.2)


async def breach(pipeline: Pipeline, worker: Worker, good: int, bad: int) -> None:
    pipeline.bad = 1.0
    await worker.ask(bad)
    pipeline.bad = 0.0
    await worker.ask(good)


@pytest.mark.parametrize("stopped", [True, False])
async def test_a_breaker_is_open_after_a_restart_and_its_end_is_told_by_whoever_closes_it(
    stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline()
    first = pipeline.start("a")
    pipeline.bad = 1.0
    await first.ask(20)
    pipeline.pass_time(1.0)
    second = again(pipeline, first, stopped=stopped)
    assert second.is_open
    pipeline.pass_time(61.0)  # a worker that was killed is taken for dead by now
    pipeline.bad = 0.0
    await second.ask(3)
    assert (second.asked, second.is_open) == (3, False)
    assert pipeline.kinds == ["contract_changed", "recovered"]


async def test_a_breaker_is_open_after_a_restart_that_only_the_alerts_survive() -> None:
    pipeline = Pipeline()
    first = pipeline.start("a")
    pipeline.bad = 1.0
    await first.ask(20)
    pipeline.workers.clear()
    pipeline.said.clear()
    second = pipeline.start("b")
    assert second.is_open
    pipeline.bad = 0.0
    pipeline.seconds += 15.0
    await second.ask(3)
    assert pipeline.kinds == ["contract_changed", "recovered"]


@pytest.mark.parametrize("told", [True, False])
async def test_an_outage_that_straddles_a_restart_is_found(told: bool) -> None:
    pipeline = Pipeline()
    worker = pipeline.start("a")
    await worker.ask(30)
    await breach(pipeline, worker, good=1, bad=7)
    pipeline.pass_time(1.0)
    if not told:
        pipeline.said.clear()
    worker = again(pipeline, worker, stopped=told)
    await worker.ask(31)
    await breach(pipeline, worker, good=1, bad=7)
    assert pipeline.kinds == (["signal_outage"] if told else [])


@pytest.mark.parametrize("told", [True, False])
async def test_a_change_that_straddles_a_restart_is_found_as_early(told: bool) -> None:
    pipeline = Pipeline()
    worker = pipeline.start("a")
    await worker.ask(30)
    pipeline.bad = 1.0
    await worker.ask(12)
    pipeline.pass_time(1.0)
    pipeline.stop(worker)
    if not told:
        pipeline.said.clear()
    await pipeline.start("b").ask(8)
    assert pipeline.kinds == (["contract_changed"] if told else [])
    if told:
        assert pipeline.alerts[0].details["run"] == 20


@pytest.mark.parametrize(("runs", "asked"), [((12, 15), 8), ((0, 12), 20)], ids=["all in a run", "one with bad luck"])
async def test_a_worker_that_starts_begins_with_the_shortest_run_of_the_others(
    runs: tuple[int, int], asked: int
) -> None:
    pipeline = Pipeline()
    for name, run in zip("ab", runs, strict=True):
        worker = pipeline.start(name)
        pipeline.bad = 0.0
        await worker.ask(30)
        pipeline.bad = 1.0
        await worker.ask(run)
    pipeline.pass_time(1.0)
    late = pipeline.start("c")
    await late.ask(asked - 1)
    assert pipeline.kinds == []
    await late.ask()
    assert pipeline.kinds == ["contract_changed"]


async def test_a_run_after_a_restart_in_an_outage_is_no_change() -> None:
    pipeline = Pipeline({"run": 5})
    worker = pipeline.start("a")
    pipeline.bad = 0.7
    await worker.ask(100)
    told = list(pipeline.kinds)
    pipeline.pass_time(1.0)
    worker = again(pipeline, worker)
    pipeline.bad = 1.0
    await worker.ask(6)
    assert pipeline.kinds == told


async def test_a_rolling_restart_raises_no_alert_and_ends_none() -> None:
    pipeline = Pipeline()
    for name in "abcd":
        pipeline.start(name)
    pipeline.bad = 0.02
    await rounds(pipeline, 200)
    roll(pipeline)
    await rounds(pipeline, 100)
    roll(pipeline)
    await rounds(pipeline, 20)
    roll(pipeline)
    await rounds(pipeline, 200)
    assert pipeline.kinds == []
    pipeline.bad = 0.4
    await rounds(pipeline, 60)
    assert pipeline.kinds == ["signal_outage"]
    roll(pipeline)
    await rounds(pipeline, 60)
    assert pipeline.kinds == ["signal_outage"]
    roll(pipeline)
    pipeline.bad = 0.0
    await rounds(pipeline, 120)
    assert pipeline.kinds == ["signal_outage", "recovered"]


@pytest.mark.parametrize(("share", "kind"), [(0.0, "escalation_silence"), (0.7, "escalation_flood")])
async def test_the_share_goes_on_where_it_was(share: float, kind: str) -> None:
    pipeline = Pipeline()
    worker = pipeline.start("a")

    def decide(times: int, share: float) -> None:
        for number in range(1, times + 1):
            worker.decide(escalates=pipeline.chance.random() < share)
            if number % 20 == 0:
                pipeline.pass_time(1.0)

    decide(1000, 0.2)
    decide(40, share)
    worker = again(pipeline, worker)
    decide(100, share)
    worker = again(pipeline, worker)
    decide(100, share)
    assert pipeline.kinds == [kind]
    worker = again(pipeline, worker)
    decide(700, 0.2)
    assert pipeline.kinds == [kind, "recovered"]


async def test_an_end_during_a_restart_is_told_by_the_worker_that_starts() -> None:
    book, alerts = AlertBook(), list[Alert]()
    book.take(Alert(alert_id="1", source="cheap:cheap-model", kind=AlertKind.ENDPOINT_DOWN, at_ms=0, summary="down"))
    answered: Call = call("cheap")
    asked: list[str] = []

    async def answer(text: str) -> Call:
        asked.append(text)
        return answered

    clock = Clock(time.monotonic, lambda: 60_000, book)
    model = WaitingModel(
        AskedModel("cheap", answer), OutageRule(trial_every_s=0.01), clock, alerts.append, [].append, Outlook()
    )
    assert model.is_down
    following = asyncio.create_task(model.follow([].append))
    async with asyncio.timeout(10):
        while model.is_down:
            await asyncio.sleep(0.01)
    assert asked == ["try out"]
    assert [alert.kind for alert in alerts] == ["recovered"]
    assert alerts[0].details["down_s"] >= 60
    assert await model.ask(ticket()) == answered
    following.cancel()


async def test_in_an_outage_that_goes_on_a_worker_that_starts_asks_about_no_ticket_and_tells_nothing() -> None:
    book, alerts, asked = AlertBook(), list[Alert](), list[str]()
    book.take(Alert(alert_id="1", source="cheap:cheap-model", kind=AlertKind.ACCOUNT, at_ms=0, summary="no money"))
    silent = call("cheap", unscorable(Reason.NO_ANSWER), model_returned=None, attempts=(attempt(outcome="http_402"),))

    async def answer(text: str) -> Call:
        asked.append(text)
        return silent

    clock = Clock(time.monotonic, lambda: 60_000, book)
    rule = OutageRule(trial_every_s=0.01, mode="review")
    model = WaitingModel(AskedModel("cheap", answer), rule, clock, alerts.append, [].append, Outlook())
    await model.ask(ticket(text="a ticket"))
    async with asyncio.timeout(10):
        while asked.count("try out") < 3:
            await asyncio.sleep(0.01)
    await model.close()
    assert "a ticket" not in asked
    assert alerts == []

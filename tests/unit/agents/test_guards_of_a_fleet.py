"""Several workers' guards that hear of one another: one breaker, one that tries, and rates over the calls of all."""

from __future__ import annotations

import random

import pytest

from schemas import Call
from streams.core.guards.budgets import units
from tests.support.fleets import GOOD, Pipeline, look


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


async def test_after_six_seconds_of_silence_the_others_try_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline()
    _, other = pipeline.start("a"), pipeline.start("b")
    pipeline.bad = 1.0
    await other.ask(20)
    pipeline.pass_time(20.0)  # a trial is due, and worker a is heard of
    pipeline.seconds += 5.0  # the broker is away: nobody says anything
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


async def test_money_that_workers_without_a_limit_spend_counts_for_one_that_has_it() -> None:
    pipeline = Pipeline()
    assert GOOD.cost_usd

    async def trial() -> Call:
        return GOOD

    for name in ("a", "b"):
        worker = pipeline.start(name)
        await worker.ask(3)
        await worker.guards.paid("cheap", 0.0, 10, trial)
        worker.guards.spent(GOOD.cost_usd)  # an embedding
        assert worker.member.accounts["money"].usage.leased == 0
    pipeline.pass_time(1.0)
    pipeline.limits = {"max_usd_per_month": 10 * GOOD.cost_usd}
    late = pipeline.start("c")
    assert late.member.others_used("money", pipeline.wall_ms())("month") == units(10 * GOOD.cost_usd)
    await late.ask(3)
    assert (late.asked, pipeline.kinds) == (0, ["spend_budget"])

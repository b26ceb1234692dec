"""Trials and the calls of a start cost money as others do, and are not made once it is spent; what a lost call counts as."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from schemas import Call, Reason
from streams.agents.guards import Clock, Guards
from streams.agents.paid_trials import PaidTrials
from streams.agents.waiting import WaitingModel
from streams.core.fleet import Caps, Member
from streams.core.guards import GuardLimits
from streams.core.guards.availability import FAILURES, OutageRule
from streams.core.guards.budgets import units
from streams.errors import Hold, StopWorker
from streams.models.outlook import Outlook
from tests.support.handlers import AskedModel
from tests.support.messages import attempt, call, ticket, unscorable

ANSWERED = call("cheap", attempts=(attempt(cost_usd=0.002),))
SILENT = call("cheap", unscorable(Reason.NO_ANSWER), model_returned=None, attempts=(attempt(outcome="http_500"),))


class Endpoint:
    def __init__(self) -> None:
        self.asked = 0
        self.answer = ANSWERED

    async def ask(self, _: str) -> Call:
        self.asked += 1
        return self.answer


class Spender:
    """A worker's guards with a limit of one cent an hour."""

    def __init__(self) -> None:
        self.member = Member("w", "g", {"money": Caps(hour=units(0.01))})
        clock = Clock(time.monotonic, lambda: 1_790_000_000_000)
        self.guards = Guards(None, GuardLimits(max_usd_per_hour=0.01), None, clock, member=self.member)
        self.endpoint = Endpoint()
        pay = partial(self.guards.paid, "cheap", 0.002, 40)
        self.model = PaidTrials(AskedModel("cheap", self.endpoint.ask), pay)

    @property
    def used(self) -> int:
        return self.member.accounts["money"].used("hour", 1_790_000_000_000)


async def test_trials_are_counted_and_none_is_made_beyond_the_limit() -> None:
    spender = Spender()
    calls = [await spender.model.try_out() for _ in range(8)]
    assert [each.cost_usd for each in calls[:5]] == [0.002] * 5
    assert spender.used == units(0.01)
    assert spender.endpoint.asked == 5
    reasons = {each.signal.reason for each in calls[5:] if each.signal.status == "unscorable"}
    assert reasons == {Reason.OVER_BUDGET}


async def test_a_trial_that_was_not_made_tells_nothing_of_the_endpoint() -> None:
    spender = Spender()
    rule = OutageRule(trial_every_s=0.001, resume_per_s=10_000)
    clock = Clock(time.monotonic, lambda: 0)
    waiting = WaitingModel(spender.model, rule, clock, [].append, [].append, Outlook())
    while await spender.guards.paid("cheap", 0.002, 40, partial(spender.endpoint.ask, "")):
        pass
    spender.endpoint.answer = SILENT

    async def ask() -> None:
        with pytest.raises(Hold):
            await waiting.ask(ticket())

    await asyncio.gather(*(asyncio.create_task(ask()) for _ in range(FAILURES)))
    assert waiting.is_down
    asked, spender.endpoint.answer = spender.endpoint.asked, ANSWERED
    with pytest.raises(Hold) as held:
        await waiting.ask(ticket())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):  # many trials are due, and none is made
            await held.value.over()
    assert waiting.is_down
    assert spender.endpoint.asked == asked


async def test_a_call_that_was_cut_off_counts_as_it_was_estimated_though_its_ticket_waits() -> None:
    spender = Spender()
    lost = SILENT.model_copy(update={"attempts": tuple(attempt(outcome="cut_off", cost_usd=0.0) for _ in range(3))})
    spender.endpoint.answer = lost
    rule, clock = OutageRule(resume_per_s=10_000), Clock(time.monotonic, lambda: 1_790_000_000_000)
    waiting = WaitingModel(AskedModel("cheap", spender.endpoint.ask), rule, clock, [].append, [].append, Outlook())
    guarded = spender.guards.guarded(waiting, first_usd=0.002)
    with pytest.raises(Hold):
        await guarded.ask(ticket())
    assert lost.cost_usd == 0.0
    assert spender.used == 3 * units(0.0005)  # the first calls are taken to cost a twentieth of the limit


@pytest.mark.parametrize(("ended", "booked"), [(StopWorker("refused"), 0), (asyncio.CancelledError(), units(0.0005))])
async def test_a_refused_call_counts_nothing_and_a_cancelled_one_its_estimate(
    ended: BaseException, booked: int
) -> None:
    spender = Spender()

    async def ask() -> Call:
        raise ended

    with pytest.raises(type(ended)):
        await spender.guards.paid("cheap", 0.002, 40, ask)
    assert spender.used == booked

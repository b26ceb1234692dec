"""The handlers with their guards: what they send beside their outcome, and what is never accepted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas import MAX_NAME, Alert, Call, Classification, Escalation, Message, Reason, Review, Routed
from streams.agents.classify import ClassifyHandler
from streams.agents.escalate import EscalateHandler
from streams.agents.guards import Aside, Checked, Clock, Guards
from streams.agents.outcomes import accepted, routed_without_signal
from streams.agents.score import OneByOne, ScoreHandler
from streams.core.guards import AlertKind, Finding, GuardLimits
from streams.core.policy.policy import BigRule, CheapRule, Decision, Policy
from streams.errors import Hold
from tests.support.contracts import broken, contracts, exception, kept, other_model
from tests.support.handlers import AskedModel
from tests.support.messages import TURN, arrival, attempt, call, classification, escalation, scored, ticket, unscorable

POLICY = Policy(id="policy-7")
BAD = unscorable(label="refund")
NOON = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp() * 1000)


class Time:
    """A clock that stands still until it is moved (seconds)."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.seconds, lambda: NOON + int(self.seconds * 1000))


class Model(AskedModel):
    """Answers with ``answer``, and counts how often it was asked."""

    def __init__(self, answer: Call) -> None:
        super().__init__(answer.tier, self.count)
        self.answer = answer
        self.asked = 0

    async def count(self, _: str) -> Call:
        self.asked += 1
        return self.answer


@pytest.fixture
def time() -> Time:
    return Time()


def guards(time: Time, policy: Policy = POLICY, *exceptions: Any, **limits: Any) -> Guards:
    return Guards(contracts(*exceptions), GuardLimits(**limits), policy.max_escalations_per_hour, time.clock)


def classify(guards: Guards, model: Model, policy: Policy = POLICY) -> ClassifyHandler:
    return ClassifyHandler(guards.guarded(model).ask, guards.escalates, policy, 3)


def score(guards: Guards, policy: Policy = POLICY) -> ScoreHandler:
    check = guards.decisions("cheap", "cheap-model").check
    return ScoreHandler(policy, 3, check=check, stale=lambda: False)


def escalate(guards: Guards, model: Model) -> EscalateHandler:
    check = guards.decisions("big", "big-model").check
    return EscalateHandler(guards.guarded(model).ask, POLICY, 3, check=check, stale=lambda: False)


def kinds(outputs: Sequence[Message]) -> list[str]:
    return [output.kind for output in outputs if isinstance(output, Alert)]


class TestClock:
    def test_the_day_is_that_of_utc(self) -> None:
        late = Clock(lambda: 0.0, lambda: int(datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp() * 1000))
        assert late.today().isoformat() == "2026-12-31"

    def test_alerts_carry_everything_and_a_name_that_fits(self, time: Time) -> None:
        finding = Finding(AlertKind.SIGNAL_OUTAGE, "cheap:" + "m" * MAX_NAME, "summary", {"n": 1})
        clock = time.clock
        [one] = clock.alerts([finding, finding])
        assert (one.kind, one.at_ms, one.summary, one.details) == ("signal_outage", NOON, "summary", {"n": 1})
        assert len(one.source) == MAX_NAME
        time.seconds = 3600.0
        [again] = clock.alerts([finding])
        assert again.alert_id != one.alert_id


class TestClassify:
    async def test_alerts_go_out_with_the_ticket_that_showed_it(self, time: Time) -> None:
        model = Model(call(signal=BAD))
        handle = classify(guards(time), model)
        outputs = [await handle(arrival(f"t-{number}")) for number in range(30)]
        assert all(isinstance(each[0], Classification) for each in outputs)
        assert [kind for each in outputs for kind in kinds(each)] == ["contract_changed"]
        assert kinds(outputs[19]) == ["contract_changed"]

    async def test_an_open_breaker_pays_nothing_and_the_ticket_is_escalated(self, time: Time) -> None:
        model = Model(call(signal=BAD))
        handle = classify(guards(time), model)
        for _ in range(20):
            await handle(arrival())
        [held] = await handle(arrival())
        assert isinstance(held, Classification)
        assert model.asked == 20
        assert held.call.signal.status == "unscorable"
        assert held.call.signal.reason is Reason.BREAKER_OPEN
        assert held.call.attempts == ()
        [decided] = score(guards(time))(held)
        assert isinstance(decided, Escalation)
        assert decided.reasons == ("no_signal:breaker_open",)

    async def test_recovery_closes_it(self, time: Time) -> None:
        model = Model(call(signal=BAD))
        handle = classify(guards(time), model)
        for _ in range(20):
            await handle(arrival())
        model.answer = kept()
        time.seconds += 15
        said = [kind for _ in range(3) for kind in kinds(await handle(arrival()))]
        assert said == ["recovered"]
        await handle(arrival())
        assert model.asked == 24

    async def test_straight_tickets_count_as_escalations(self, time: Time) -> None:
        policy = Policy(cheap=CheapRule(max_chars=3), max_escalations_per_hour=2)
        model = Model(kept())
        handle = classify(guards(time, policy), model, policy)
        outputs = [await handle(arrival(f"t-{number}")) for number in range(4)]
        assert [type(each[0]) for each in outputs] == [Escalation, Escalation, Review, Review]
        review = outputs[2][0]
        assert isinstance(review, Review)
        assert review.reasons == ("straight_to_big", "escalation_budget")
        assert [kinds(each) for each in outputs] == [[], [], ["escalation_budget"], []]
        assert model.asked == 0


class TestScore:
    async def test_the_budget_is_one_for_both_ways_to_the_big_tier(self, time: Time) -> None:
        policy = Policy(max_escalations_per_hour=2)
        all_guards = guards(time, policy)
        handle = OneByOne(score(all_guards, policy), all_guards.may_escalate)
        assert await all_guards.escalates() == (True, ())
        outputs = [await handle(classification(scored(confidence=0.1), ticket_id=f"t-{number}")) for number in range(3)]
        assert [type(each[0]) for each in outputs] == [Escalation, Review, Review]
        assert [kinds(each) for each in outputs] == [[], ["escalation_budget"], []]

    def test_another_model_than_allowed_is_escalated(self, time: Time) -> None:
        handle = score(guards(time))
        [output] = handle(Classification(ticket=ticket(), call=other_model()))
        assert isinstance(output, Escalation)
        assert output.reasons == ("contract:model_not_allowed",)

    def test_under_an_exception_the_answer_is_routed_without_a_number(self, time: Time) -> None:
        handle = score(guards(time, POLICY, exception()))
        output, alert = handle(Classification(ticket=ticket(), call=broken()))
        assert isinstance(output, Routed)
        assert (output.label, output.decided_by) == ("refund", "cheap")
        assert output.confidence is output.entropy is output.top_k_mass is None
        assert output.reasons == ("exception:migration", "no_signal:logprobs_null")
        assert isinstance(alert, Alert)
        assert (alert.kind, alert.source) == ("exception_in_use", "exception:migration")

    def test_after_its_last_day_it_is_not(self, time: Time) -> None:
        expired = exception(expires="2026-10-31")
        handle = score(guards(time, POLICY, expired))
        [output] = handle(Classification(ticket=ticket(), call=broken()))
        assert isinstance(output, Escalation)


class TestEscalate:
    async def test_an_open_breaker_sends_to_a_person(self, time: Time) -> None:
        model = Model(call("big", BAD))
        handle = escalate(guards(time), model)
        outputs = [await handle(escalation()) for _ in range(25)]
        assert model.asked == 20
        assert [kind for each in outputs for kind in kinds(each)] == ["contract_changed"]
        last = outputs[-1][0]
        assert isinstance(last, Review)
        assert last.reasons == ("cheap:low_confidence", "big:no_signal:breaker_open")

    async def test_another_model_than_allowed_goes_to_a_person(self, time: Time) -> None:
        outputs = await escalate(guards(time), Model(call("big", model_returned="other")))(escalation())
        assert isinstance(outputs[0], Review)
        assert outputs[0].reasons[-1] == "big:contract:model_not_allowed"
        assert kinds(outputs) == ["model_not_allowed"]

    async def test_under_an_exception(self, time: Time) -> None:
        excused = exception(id="big-one", tier="big", model="big-model")
        output, alert = await escalate(guards(time, POLICY, excused), Model(call("big", BAD)))(escalation())
        assert isinstance(output, Routed)
        assert (output.decided_by, output.confidence) == ("big", None)
        assert output.reasons == ("cheap:low_confidence", "exception:big-one", "no_signal:logprobs_null")
        assert isinstance(alert, Alert)
        assert alert.kind == "exception_in_use"

    async def test_the_big_model_is_not_asked_if_what_is_left_may_not_be_enough(self, time: Time) -> None:
        model = Model(call("big", attempts=(attempt(cost_usd=0.01),)))
        handle = escalate(guards(time, max_usd_per_hour=0.025), model)
        outputs = [await handle(escalation()) for _ in range(6)]
        assert model.asked == 2
        assert [kinds(each) for each in outputs] == [[], [], ["spend_budget"], [], [], []]
        last = outputs[-1][0]
        assert isinstance(last, Review)
        assert last.reasons[-1] == "big:no_signal:over_budget"
        time.seconds += 3661
        assert isinstance((await handle(escalation()))[0], Routed)

    async def test_both_tiers_count_into_the_money_and_neither_is_asked_without_any(self, time: Time) -> None:
        all_guards = guards(time, POLICY, max_usd_per_hour=0.01)
        cheap, big = Model(call(attempts=(attempt(cost_usd=0.02),))), Model(call("big"))
        handle = classify(all_guards, cheap)
        for _ in range(3):
            await handle(arrival())
        assert cheap.asked == 1
        await escalate(all_guards, big)(escalation())
        assert big.asked == 0

    async def test_trials_count_into_the_money(self, time: Time) -> None:
        all_guards, big = guards(time, max_usd_per_hour=0.01), Model(call("big"))
        all_guards.spent(0.02)
        await escalate(all_guards, big)(escalation())
        assert big.asked == 0


def waiting(time: Time, policy: Policy = POLICY, **limits: Any) -> tuple[Guards, list[Alert], list[Call]]:
    alerts, trials = list[Alert](), list[Call]()
    aside = Aside(alerts.append, trials.append)
    patient = GuardLimits(on_limit="hold", **limits)
    return Guards(contracts(), patient, policy.max_escalations_per_hour, time.clock, aside), alerts, trials


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at limits at once."""
    for module in ("guards", "limit"):
        monkeypatch.setattr(f"streams.agents.{module}.LOOK_EVERY_S", 0.0)


async def held(waits: Awaitable[object]) -> Hold:
    """Await what must wait, and return what it waits for."""
    with pytest.raises(Hold) as raised:
        await waits
    return raised.value


@pytest.mark.usefixtures("often")
class TestTicketsThatWaitAtALimit:
    async def test_an_open_breaker_is_waited_for_and_trials_with_a_fixed_text_close_it(self, time: Time) -> None:
        patient, alerts, trials = waiting(time)
        model = Model(call(signal=BAD))
        handle = classify(patient, model)
        for _ in range(20):
            await handle(arrival())
        hold = await held(handle(arrival()))
        assert [limit.name for limit in patient.limits if limit.reached()] == ["contract:cheap"]
        over = asyncio.ensure_future(hold.over())
        await asyncio.sleep(0)
        assert (model.asked, over.done()) == (20, False)
        model.answer = kept()
        time.seconds += 15
        await over
        assert len(trials) == 3
        assert [alert.kind for alert in alerts] == ["recovered"]
        assert isinstance((await handle(arrival()))[0], Classification)

    async def test_an_open_breaker_closes_though_no_ticket_comes(self, time: Time) -> None:
        patient, alerts, trials = waiting(time)
        model = Model(call(signal=BAD))
        guarded = patient.guarded(model)
        handle = ClassifyHandler(guarded.ask, patient.escalates, POLICY, 3)
        for _ in range(20):
            await handle(arrival())
        assert guarded.is_open
        model.answer = kept()
        time.seconds += 15
        following = asyncio.create_task(guarded.follow())
        async with asyncio.timeout(10):
            while guarded.is_open:
                await asyncio.sleep(0)
        following.cancel()
        assert len(trials) == 3
        assert [alert.kind for alert in alerts] == ["recovered"]

    async def test_money_that_is_spent_is_waited_for(self, time: Time) -> None:
        patient, alerts, _ = waiting(time, max_usd_per_hour=0.03)
        model = Model(call("big", attempts=(attempt(cost_usd=0.02),)))
        handle = escalate(patient, model)
        await handle(escalation())
        hold = await held(handle(escalation()))
        await held(handle(escalation()))
        assert [alert.kind for alert in alerts] == ["spend_budget"]
        assert "tickets wait" in alerts[0].summary
        over = asyncio.ensure_future(hold.over())
        await asyncio.sleep(0)
        assert (model.asked, over.done()) == (1, False)
        time.seconds += 3661
        await over
        assert isinstance((await handle(escalation()))[0], Routed)

    async def test_so_are_the_escalations_of_the_next_hour(self, time: Time) -> None:
        policy = Policy(max_escalations_per_hour=1, cheap=CheapRule(max_chars=10))
        patient, alerts, _ = waiting(time, policy)
        doubtful = classification(signal=scored(confidence=0.2))
        one_by_one = OneByOne(score(patient, policy), patient.may_escalate)
        straight = classify(patient, Model(call()), policy)
        assert isinstance((await one_by_one(doubtful))[0], Escalation)
        holds = [await held(one_by_one(doubtful)), await held(straight(arrival()))]
        assert [alert.kind for alert in alerts] == ["escalation_budget"]
        time.seconds += 3661
        await asyncio.gather(*(hold.over() for hold in holds))
        assert isinstance((await straight(arrival()))[0], Escalation)


class Tickets:
    """Tickets that go through classify and score, of which the cheap model doubts a share."""

    def __init__(self, time: Time, policy: Policy, **limits: Any) -> None:
        self._time = time
        self._doubt, self._chance = 0.2, random.Random(5)
        guarded = guards(time, policy, **limits)
        self._classify = ClassifyHandler(
            guarded.guarded(AskedModel("cheap", self._answer)).ask, guarded.escalates, policy, 3
        )
        self._score = score(guarded, policy)
        self.unasked = 0

    async def _answer(self, _: str) -> Call:
        confidence = 0.1 if self._chance.random() < self._doubt else 0.99
        return call(signal=scored(confidence=confidence), novelty=0.1, attempts=(attempt(cost_usd=0.01),))

    async def come(self, number: int, doubt: float = 0.2) -> list[str]:
        """Handle so many, ten a second; return what was told of escalations."""
        self._doubt = doubt
        told = []
        for each in range(number):
            self._time.seconds += 0.1
            classified, *alerts = await self._classify(arrival(f"t-{each}"))
            assert isinstance(classified, Classification)
            self.unasked += not classified.call.attempts
            told += kinds([*alerts, *self._score(classified)])
        return [kind for kind in told if kind.startswith("escalation")]


class TestTheShareOfEscalations:
    async def test_once_the_money_is_spent_nothing_is_called_a_silence_but_one_after_it_is(self, time: Time) -> None:
        tickets = Tickets(time, Policy(big=BigRule(max_novelty=0.5)), max_usd_per_hour=10.0)
        assert await tickets.come(1500) == []
        assert tickets.unasked > 400  # no memory was asked about them either, so they went to a reviewer as novel
        time.seconds += 3661
        assert await tickets.come(300, doubt=0.0) == ["escalation_silence"]

    async def test_money_that_comes_back_leaves_no_other_share_behind(self, time: Time) -> None:
        tickets = Tickets(time, POLICY, max_usd_per_hour=3.0)
        assert await tickets.come(700) == []
        assert tickets.unasked > 300  # for each an escalation was wanted, since nothing was known
        time.seconds += 3661
        assert await tickets.come(290) == []

    @pytest.mark.usefixtures("often")
    async def test_what_waits_for_the_next_hour_was_wanted_once(self, time: Time) -> None:
        policy = Policy(max_escalations_per_hour=100)
        patient, told, _ = waiting(time, policy)
        handle = OneByOne(score(patient, policy), patient.may_escalate)
        doubtful, sure = classification(signal=scored(confidence=0.2)), classification()

        async def one_of_four(number: int) -> None:
            time.seconds += 0.1
            message = sure if number % 4 else doubtful
            try:
                told.extend(each for each in await handle(message) if isinstance(each, Alert))
            except Hold as hold:
                await hold.over()
                told.extend(each for each in await handle(message) if isinstance(each, Alert))

        tickets = [asyncio.create_task(one_of_four(number)) for number in range(800)]
        while sum(ticket.done() for ticket in tickets) < 700:
            await asyncio.sleep(0)
        assert [alert.kind for alert in told] == ["escalation_budget"]
        time.seconds += 3661
        async with asyncio.timeout(10):
            await asyncio.gather(*tickets)
        assert [alert.kind for alert in told] == ["escalation_budget"]


class TestRoutedWithoutSignal:
    def test_refuses_what_the_exception_does_not_cover(self, time: Time) -> None:
        today = time.clock.today()
        for wrong in (kept(), broken(label=None), broken(Reason.NO_ANSWER), broken(tier="big")):
            with pytest.raises(TypeError, match="does not cover"):
                routed_without_signal(
                    ticket(),
                    TURN,
                    exception(),
                    Checked(Decision("accept", ()), on=today),
                    by="cheap",
                    policy=POLICY,
                    calls=(wrong,),
                    reasons=("exception:migration",),
                )

    def test_refuses_reasons_that_do_not_name_it(self, time: Time) -> None:
        checked = Checked(Decision("accept", ()), on=time.clock.today())
        with pytest.raises(TypeError, match="does not cover"):
            routed_without_signal(
                ticket(), TURN, exception(), checked, by="cheap", policy=POLICY, calls=(broken(),), reasons=()
            )

    def test_a_decision_to_accept_without_one_is_no_way_around(self) -> None:
        with pytest.raises(TypeError, match="without a signal"):
            accepted(ticket(), TURN, Checked(Decision("accept", ())), by="cheap", policy=POLICY, calls=(broken(),))

"""One endpoint's guard: outage and change told apart, one alert each, the breaker, and the way back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from schemas import Call, Reason
from streams.core.guards import AlertKind, EndpointGuard, Finding, GuardLimits, Permit
from streams.core.guards.contract import Terms
from streams.core.guards.written_exception import WrittenException
from tests.support.contracts import PAPER, broken, exception, few_alternatives, kept, other_model, terms
from tests.support.messages import attempt, call, scored

TODAY = date(2026, 11, 1)
LIMITS = GuardLimits(window=100, run=20, trial_every_s=15.0, trials_to_close=3)
NO_USAGE = call(attempts=(attempt(estimated=True),))
UNANSWERED = broken(Reason.NO_ANSWER, label=None, model_returned=None, attempts=())
#: Each way in which the sandbox's logprob faults break the contract.
BROKEN = {
    reason.value: broken(reason)
    for reason in (
        Reason.LOGPROBS_NULL,
        Reason.LOGPROBS_ABSENT,
        Reason.LOGPROBS_EMPTY,
        Reason.NO_ALTERNATIVES,
        Reason.FLOOR_LOGPROB,
        Reason.IMPOSSIBLE_LOGPROB,
        Reason.NOT_JSON,
    )
} | {"k_below_minimum": few_alternatives()}


class Watched:
    """A guard, a clock that a call moves by a tenth of a second, and everything that was said."""

    def __init__(self, *exceptions: WrittenException, terms: Terms | None = None, **limits: Any) -> None:
        self.guard = EndpointGuard(
            "cheap", "cheap-model", terms or TERMS, LIMITS.model_copy(update=limits), list(exceptions)
        )
        self.now = 1000.0
        self.today = TODAY
        self.said: list[Finding] = []
        self.paid = 0

    def see(self, calls: Iterable[Call]) -> list[AlertKind]:
        """Let the calls happen as far as the guard allows, and return what it said meanwhile."""
        before = len(self.said)
        for each in calls:
            self.now += 0.1
            permit = self.guard.permit(self.now)
            if permit is not Permit.REFUSED:
                self.paid += 1
                self.said += self.guard.observe(each, permit, self.now, self.today)
        return [finding.kind for finding in self.said[before:]]


TERMS = terms()


def mixed(share: float, count: int, bad: Call, seed: int = 1) -> list[Call]:
    chance = random.Random(seed)
    return [bad if chance.random() < share else kept() for _ in range(count)]


@pytest.fixture
def watched() -> Watched:
    return Watched()


class TestOutage:
    @pytest.mark.parametrize("name", BROKEN)
    def test_some_calls_are_an_outage_within_one_window_said_once(self, watched: Watched, name: str) -> None:
        assert watched.see([kept()] * 300) == []
        assert watched.see(mixed(0.3, 100, BROKEN[name])) == [AlertKind.SIGNAL_OUTAGE]
        assert watched.see(mixed(0.3, 500, BROKEN[name], seed=2)) == []
        details = watched.said[0].details
        assert (details["reason"], details["breaker"], details["earlier_share"]) == (name, "closed", 0.0)
        assert not watched.guard.is_open
        assert watched.paid == 900

    def test_from_the_first_call_on_too(self, watched: Watched) -> None:
        assert watched.see(mixed(0.3, 100, broken())) == [AlertKind.SIGNAL_OUTAGE]

    def test_ends_with_one_recovered_and_may_come_again(self, watched: Watched) -> None:
        watched.see(mixed(0.3, 200, broken()))
        assert watched.see([kept()] * 200) == [AlertKind.RECOVERED]
        assert watched.said[-1].details["was"] == ["signal_outage:logprobs_null"]
        assert watched.see(mixed(0.3, 200, broken(), seed=2)) == [AlertKind.SIGNAL_OUTAGE]

    def test_each_reason_has_its_own(self, watched: Watched) -> None:
        watched.see(mixed(0.3, 200, broken()))
        both = [
            pick
            for pair in zip(mixed(0.3, 200, broken(), 3), mixed(0.4, 200, BROKEN["not_json"]), strict=True)
            for pick in pair
        ]
        assert watched.see(both) == [AlertKind.SIGNAL_OUTAGE]
        assert watched.said[-1].details["reason"] == "not_json"

    def test_what_is_tolerated_or_was_always_so_is_none(self) -> None:
        assert Watched().see(mixed(0.02, 5000, broken())) == []
        slow = Watched(tolerated_share=0.02)
        for percent in range(0, 12, 2):  # so slowly that it is the history by then
            slow.see(mixed(percent / 100, 2000, broken(), seed=percent))
        assert slow.said == []

    def test_what_still_stands_is_said_again_after_an_hour(self, watched: Watched) -> None:
        watched.see(mixed(0.3, 200, broken()))
        watched.now += 3600
        assert watched.see(mixed(0.3, 200, broken(), seed=2)) == [AlertKind.SIGNAL_OUTAGE]

    @pytest.mark.parametrize("share", [0.3, 1.0])
    def test_no_answer_is_said_elsewhere_and_never_here(self, watched: Watched, share: float) -> None:
        watched.see([kept()] * 100)
        assert watched.see(mixed(share, 500, UNANSWERED)) == []
        assert not watched.guard.is_open
        assert watched.see([kept()] * 200) == []

    def test_what_is_about_single_tickets_is_nothing(self, watched: Watched) -> None:
        for reason in (Reason.REFUSED, Reason.NOT_A_LABEL, Reason.REQUEST_REFUSED, Reason.TRUNCATED):
            assert watched.see([broken(reason)] * 300) == []
        assert not watched.guard.is_open


class TestChange:
    @pytest.mark.parametrize("name", BROKEN)
    @pytest.mark.parametrize("before", [0, 300])
    def test_every_call_since_a_moment_opens_the_breaker(self, watched: Watched, name: str, before: int) -> None:
        watched.see([kept()] * before)
        assert watched.see([BROKEN[name]] * 20) == [AlertKind.CONTRACT_CHANGED]
        assert watched.guard.is_open
        details = watched.said[-1].details
        assert (details["run"], details["reasons"], details["breaker"]) == (20, {name: 20}, "open")

    @pytest.mark.parametrize("share", [0.3, 0.6])
    def test_after_an_outage_it_is_told_apart_within_one_window(self, watched: Watched, share: float) -> None:
        assert watched.see(mixed(share, 300, broken())) == [AlertKind.SIGNAL_OUTAGE]
        assert watched.see([broken()] * 100) == [AlertKind.CONTRACT_CHANGED]
        details = watched.said[-1].details
        assert 0 < details["broken_before"] < details["calls_before"]
        assert details["run"] <= LIMITS.window

    def test_a_run_that_the_earlier_share_explains_is_none(self) -> None:
        chronic = Watched()
        for bad, good in ((5, 5), (17, 3), (24, 1)):  # at last, 24 in a row are nothing new
            chronic.see(([broken()] * bad + [kept()] * good) * 20)
        assert [finding.kind for finding in chronic.said] == [AlertKind.SIGNAL_OUTAGE]
        assert chronic.see([broken()] * 100) == [AlertKind.CONTRACT_CHANGED]

    def test_several_reasons_in_turn_are_one_run(self, watched: Watched) -> None:
        assert watched.see([*BROKEN.values()] * 3) == [AlertKind.CONTRACT_CHANGED]
        assert watched.said[-1].details["reasons"].keys() == BROKEN.keys()

    def test_unanswered_and_telling_nothing_neither_break_a_run_nor_lengthen_it(self, watched: Watched) -> None:
        between = [broken(), UNANSWERED, broken(Reason.REFUSED)]
        assert watched.see(between * 19) == []
        assert watched.see([broken()]) == [AlertKind.CONTRACT_CHANGED]

    def test_is_not_said_for_every_ticket(self, watched: Watched) -> None:
        watched.see([broken()] * 3000)  # five minutes
        assert [finding.kind for finding in watched.said] == [AlertKind.CONTRACT_CHANGED]

    def test_is_said_again_by_a_trial_after_an_hour(self, watched: Watched) -> None:
        watched.see([broken()] * 100)
        watched.now += 3600
        assert watched.see([broken()]) == [AlertKind.CONTRACT_CHANGED]
        assert "still broken" in watched.said[-1].summary

    def test_a_field_that_costs_are_counted_from_is_told_and_opens_nothing(self, watched: Watched) -> None:
        assert watched.see([NO_USAGE] * 100) == [AlertKind.CONTRACT_CHANGED]
        assert watched.said[-1].details["use"] == "spend"
        assert not watched.guard.is_open
        assert watched.see([kept()] * 3) == [AlertKind.RECOVERED]
        assert watched.see([NO_USAGE, kept()]) == []  # what is over is no outage now


class TestBreaker:
    def test_pays_for_a_trial_now_and_then_only(self, watched: Watched) -> None:
        watched.see([broken()] * 20)
        watched.paid = 0
        watched.see([broken()] * 6000)  # ten minutes
        assert 39 <= watched.paid <= 40  # one in 15 s

    def test_closes_after_trials_that_keep_the_contract(self, watched: Watched) -> None:
        watched.see([kept()] * 200 + [broken()] * 20)
        watched.paid = 0
        assert watched.see([kept()] * 160) == [AlertKind.RECOVERED]
        assert watched.said[-1].details == {"breaker": "closed", "was": ["contract_changed:accept"]}
        assert not watched.guard.is_open
        # What was seen before is forgotten: the next outage is judged on its own calls.
        assert watched.see(mixed(0.02, 1000, broken())) == []
        assert watched.see([broken()] * 20) == [AlertKind.CONTRACT_CHANGED]

    def test_calls_that_were_in_progress_when_it_opened_change_nothing(self, watched: Watched) -> None:
        watched.see([broken()] * 20)
        for late in (kept(), broken(), UNANSWERED, kept()):
            assert watched.guard.observe(late, Permit.CALL, watched.now, TODAY) == ()
        assert watched.guard.is_open

    def test_an_unanswered_trial_is_no_good_one(self, watched: Watched) -> None:
        watched.see([broken()] * 20)
        watched.now += 15
        assert watched.guard.permit(watched.now) is Permit.TRIAL
        watched.guard.observe(UNANSWERED, Permit.TRIAL, watched.now, TODAY)
        assert watched.guard.permit(watched.now + 14) is Permit.REFUSED


class TestModels:
    def test_another_model_is_told_at_once_and_once_each(self, watched: Watched) -> None:
        assert watched.see([kept()] * 50 + [other_model()]) == [AlertKind.MODEL_NOT_ALLOWED]
        assert watched.said[-1].details["returned"] == "other-model"
        assert watched.see([kept(), other_model()] * 30) == []
        assert watched.see([other_model("a-third")]) == [AlertKind.MODEL_NOT_ALLOWED]
        assert not watched.guard.is_open

    def test_every_call_by_another_model_opens_the_breaker(self, watched: Watched) -> None:
        assert watched.see([other_model()] * 20) == [AlertKind.MODEL_NOT_ALLOWED, AlertKind.CONTRACT_CHANGED]
        assert watched.guard.is_open
        assert watched.see([kept()] * 200) == [AlertKind.RECOVERED]
        assert watched.said[-1].details["was"] == ["contract_changed:accept", "model_not_allowed:other-model"]

    def test_is_over_when_a_window_has_none(self, watched: Watched) -> None:
        watched.see([other_model()])
        assert watched.see([kept()] * 99) == []
        assert watched.see([kept()] * 3) == [AlertKind.RECOVERED]

    def test_a_new_id_with_every_answer_fills_no_memory(self, watched: Watched) -> None:
        for number in range(500):
            watched.see([other_model(f"m-{number}"), kept()])
        assert len(watched.guard._other_models._ids) <= 8
        assert len(watched.guard._other_models._bell._rang) <= 8

    def test_without_a_contract_any_model_may_answer(self) -> None:
        watched = Watched(terms=Terms())
        assert watched.see([other_model()] * 300) == []


class TestExceptions:
    def test_one_that_covers_the_run_keeps_the_breaker_closed_until_it_expires(self) -> None:
        watched = Watched(exception(expires=TODAY.isoformat()))
        assert watched.see([broken()] * 300) == [AlertKind.CONTRACT_CHANGED]
        assert not watched.guard.is_open
        watched.today = TODAY + timedelta(days=1)
        assert watched.see([broken()]) == [AlertKind.CONTRACT_CHANGED]
        assert watched.guard.is_open

    def test_one_for_another_reason_does_not(self) -> None:
        watched = Watched(exception())
        watched.see([broken(Reason.LOGPROBS_ABSENT)] * 20)
        assert watched.guard.is_open

    def test_when_the_signal_is_back_that_is_told(self) -> None:
        watched = Watched(exception())
        watched.see([broken()] * 100)
        assert watched.see([kept()] * 3) == [AlertKind.RECOVERED]
        # A single breach of another kind is not the end of it all.
        watched.see([BROKEN["not_json"]])
        assert not watched.guard.is_open


@pytest.mark.parametrize("pick", [lambda n: n % 3, lambda n: n % 97, lambda n: n // 500])
def test_memory_is_bounded(pick: Callable[[int], int]) -> None:
    watched = Watched(remind_s=1.0, trial_every_s=0.1)
    kinds = [kept(), *BROKEN.values(), other_model(), UNANSWERED, NO_USAGE]
    for number in range(5000):
        watched.see([kinds[pick(number) % len(kinds)]])
    guard = watched.guard
    sizes = (
        guard._changes._runs,
        guard._changes._changed,
        guard._outages.ongoing,
        guard._outages._untested,
        guard._outages._bell._rang,
        guard._bell._rang,
        guard._rates.names(),
    )
    assert guard._rates.calls <= 100
    assert max(map(len, sizes)) <= 20


def test_scored_calls_of_any_confidence_keep_the_contract(watched: Watched) -> None:
    assert watched.see([kept(signal=scored(confidence=0.1, top_k_mass=0.2))] * 300) == []
    assert PAPER["min_k"] <= scored().k

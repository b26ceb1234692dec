"""What an hour may use up, and how often that is said."""

from __future__ import annotations

import pytest

from streams.core.guards.budgets import CostEstimate, EscalationBudget, SpendBudget, booked_usd
from streams.core.guards.finding import AlertKind, Bell
from tests.support.messages import attempt


class TestBell:
    def test_rings_at_first_and_after_its_time(self) -> None:
        bell = Bell(60.0)
        assert [bell.pull("a", now) for now in (0.0, 1.0, 59.9, 60.0, 61.0)] == [True, False, False, True, False]
        assert bell.pull("b", 61.0)

    def test_what_is_over_is_news_the_next_time(self) -> None:
        bell = Bell(60.0)
        bell.pull("a", 0.0)
        assert bell.rang("a")
        bell.over("a")
        assert not bell.rang("a")
        assert bell.pull("a", 1.0)


class TestEscalations:
    def test_what_is_refused_is_said_once(self) -> None:
        left = [True, True, True, False, False, False]
        budget = EscalationBudget(3, 3600.0, lambda: left.pop(0))
        taken = [budget.take(now) for now in (0.0, 10.0, 20.0, 30.0, 40.0, 3500.0)]
        assert [allowed for allowed, _ in taken] == [True, True, True, False, False, False]
        [finding] = [finding for _, findings in taken for finding in findings]
        assert finding.kind is AlertKind.ESCALATION_BUDGET
        assert finding.details == {"max_escalations_per_hour": 3}

    def test_the_alert_comes_again_after_an_hour(self) -> None:
        budget = EscalationBudget(0, 3600.0, lambda: False)
        assert [len(budget.take(now)[1]) for now in (0.0, 3599.0, 3600.0, 3601.0)] == [1, 0, 1, 0]


class TestSpend:
    def test_says_once_what_was_spent_and_what_is_allowed(self) -> None:
        budget = SpendBudget({"max_usd_per_hour": 0.01, "max_usd_per_day": 1.0}, 3600.0)
        [finding] = budget.is_spent(0.012, 2.0)
        assert finding.kind is AlertKind.SPEND_BUDGET
        assert finding.details == {"max_usd_per_hour": 0.01, "max_usd_per_day": 1.0, "spent_usd": 0.012}
        assert "at most $0.01 an hour and $1 a day; no model is asked" in finding.summary
        assert budget.is_spent(0.012, 3.0) == ()


class TestBooked:
    @pytest.mark.parametrize(
        ("outcome", "booked"),
        [
            ("ok", 0.001),
            ("timeout", 0.01),
            ("deadline", 0.01),
            ("cut_off", 0.01),
            ("body_too_long", 0.01),
            ("connection", 0.0),
            ("connect_timeout", 0.0),
            ("http_429", 0.0),
            ("http_500", 0.0),
        ],
    )
    def test_what_was_sent_and_gave_no_answer_counts_as_the_estimate(self, outcome: str, booked: float) -> None:
        cost_usd = 0.001 if outcome == "ok" else 0.0
        assert booked_usd([attempt(outcome=outcome, cost_usd=cost_usd)], 0.01) == booked

    def test_garbage_counts_no_less_than_the_estimate_and_a_guess_at_an_answer_as_the_guess(self) -> None:
        garbage = attempt(outcome="unscorable", cost_usd=0.001, estimated=True)
        assert booked_usd([garbage], 0.01) == 0.01
        assert booked_usd([garbage], 0.0005) == 0.001
        assert booked_usd([attempt(outcome="ok", cost_usd=0.001, estimated=True)], 0.01) == 0.001
        assert booked_usd([attempt(outcome="unscorable", cost_usd=0.001)], 0.01) == 0.001

    def test_each_attempt_counts(self) -> None:
        attempts = [attempt(outcome="cut_off", cost_usd=0.0), attempt(outcome="timeout", cost_usd=0.0)]
        assert booked_usd([*attempts, attempt(cost_usd=0.001)], 0.01) == pytest.approx(0.021)
        assert booked_usd([], 0.01) == 0.0


class TestCostEstimate:
    def test_is_the_first_until_a_call_has_come_back_and_then_the_dearest_of_the_last(self) -> None:
        estimate = CostEstimate(0.5)
        assert estimate.of(100) == 0.5
        estimate.learn(1_000, 0.002)
        estimate.learn(1_000, 0.001)
        assert estimate.of(1_000) == pytest.approx(0.002)
        assert estimate.of(3_000) == pytest.approx(0.004)
        for _ in range(200):
            estimate.learn(1_000, 0.001)
        assert estimate.of(1_000) == pytest.approx(0.001)

    def test_has_room_for_as_many_attempts_as_one_of_the_last_calls_had_to_pay_for(self) -> None:
        estimate = CostEstimate(0.5)
        assert estimate.of_all(1_000) == 0.5
        estimate.learn(1_000, 0.0, 3)  # never answered
        assert estimate.of_all(1_000) == 1.5
        estimate.learn(1_000, 0.001, 3)
        assert (estimate.of(1_000), estimate.of_all(1_000)) == (pytest.approx(0.001), pytest.approx(0.004))
        for _ in range(200):
            estimate.learn(1_000, 0.001)
        assert estimate.of_all(1_000) == pytest.approx(0.001)

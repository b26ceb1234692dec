"""What an hour may use up, and how often that is said."""

from __future__ import annotations

import pytest

from streams.core.guards.budgets import CostEstimate, EscalationBudget, SpendBudget
from streams.core.guards.finding import AlertKind, Bell


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
        assert "$0.01 hour, $1 day allowed: no model is asked" in finding.summary
        assert budget.is_spent(0.012, 3.0) == ()


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

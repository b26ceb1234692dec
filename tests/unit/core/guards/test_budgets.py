"""What an hour may use up, and how often that is said."""

from __future__ import annotations

import random

import pytest

from streams.core.guards.budgets import EscalationBudget, SpendBudget
from streams.core.guards.finding import AlertKind, Bell
from streams.core.guards.hourly_total import HourlyTotal


class TestHourlyTotal:
    def test_no_hour_anywhere_is_undercounted_and_memory_is_bounded(self) -> None:
        chance = random.Random(3)
        hour, now, events = HourlyTotal(), 1_000_000.0, []
        for _ in range(5000):
            now += chance.expovariate(1 / 20)
            amount = chance.randint(1, 5)
            hour.add(amount, now)
            events.append((now, amount))
            exact = sum(amount for at, amount in events if at > now - 3600)
            with_a_minute_more = sum(amount for at, amount in events if at > now - 3660)
            assert exact <= hour.total(now) <= with_a_minute_more
            assert len(hour._minutes) <= 61
        assert hour.total(now + 3661) == 0


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
    def test_so_many_and_no_more_within_any_hour_with_one_alert(self) -> None:
        budget = EscalationBudget(3, 3600.0)
        taken = [budget.take(now) for now in (0.0, 10.0, 20.0, 30.0, 40.0, 3500.0)]
        assert [allowed for allowed, _ in taken] == [True, True, True, False, False, False]
        [finding] = [finding for _, findings in taken for finding in findings]
        assert finding.kind is AlertKind.ESCALATION_BUDGET
        assert finding.details == {"max_escalations_per_hour": 3}
        # What was refused is not counted, and what was taken is forgotten after an hour.
        assert [budget.take(3700.0)[0] for _ in range(4)] == [True, True, True, False]

    def test_the_alert_comes_again_after_an_hour(self) -> None:
        budget = EscalationBudget(0, 3600.0)
        assert [len(budget.take(now)[1]) for now in (0.0, 3599.0, 3600.0, 3601.0)] == [1, 0, 1, 0]


class TestSpend:
    def test_stops_when_the_money_is_spent_and_goes_on_an_hour_later(self) -> None:
        budget = SpendBudget(0.01, 3600.0)
        assert budget.allows(0.0) == (True, ())
        budget.spend(0.006, 0.0)
        budget.spend(0.006, 1.0)
        allowed, [finding] = budget.allows(2.0)
        assert not allowed
        assert finding.kind is AlertKind.SPEND_BUDGET
        assert finding.details["spent_usd"] == pytest.approx(0.012)
        assert budget.allows(3.0) == (False, ())
        assert budget.allows(3700.0) == (True, ())

"""What a worker has used within an hour, a day and a month, also if its clock goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.fleet import MAX_DAYS, MAX_MINUTES, WorkerState
from streams.core.fleet import Account, Caps, Fleet, Period

MOST = 100


def at(text: str) -> int:
    """Return a time (UTC) as Unix time in milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def later(text: str, **passed: float) -> int:
    return at(text) + round(timedelta(**passed).total_seconds() * 1000)


def use(account: Account, amount: int, now_ms: int) -> int:
    """Lease and take an amount, as far as the limits leave it; return what was taken."""
    account.ask(max(0, amount - account.leased))
    account.said(now_ms)
    account.grant(lambda _: 0, now_ms)
    return amount if account.take(amount, now_ms) else 0


@pytest.mark.parametrize(
    ("period", "used_at", "still", "over"),
    [
        ("hour", "2026-01-31T23:59:59.999", "2026-02-01T00:59:59.999", "2026-02-01T01:00:00"),
        ("day", "2026-02-28T00:00:00", "2026-02-28T23:59:59.999", "2026-03-01T00:00:00"),
        ("month", "2026-02-01T00:00:00", "2026-02-28T23:59:59.999", "2026-03-01T00:00:00"),
        ("month", "2026-12-01T00:00:00", "2026-12-31T23:59:59.999", "2027-01-01T00:00:00"),
        ("month", "2024-02-01T00:00:00", "2024-02-29T23:59:59.999", "2024-03-01T00:00:00"),
    ],
)
def test_a_period_ends_at_its_boundary(period: Period, used_at: str, still: str, over: str) -> None:
    account, fleet = Account(Caps(**{period: MOST})), Fleet("g")
    assert use(account, MOST, at(used_at)) == MOST
    fleet.update(WorkerState(worker="w", group="g", number=1, at_ms=at(used_at), money=account.usage))
    assert use(account, 1, at(still)) == 0
    assert fleet.used("money", period, at(still)) == account.used(period, at(still)) == MOST
    assert use(account, 1, at(over)) == 1
    assert fleet.used("money", period, at(over)) == 0


def test_a_clock_that_was_ahead_hides_nothing_that_is_used_after_it() -> None:
    account, now = Account(Caps(hour=MOST)), "2026-11-28T12:00:00"
    assert use(account, 10, later(now, hours=2)) == 10
    assert sum(use(account, 10, later(now, minutes=minute)) for minute in range(20)) == MOST - 10
    assert account.used("hour", later(now, minutes=20)) == MOST


def test_what_others_are_told_stays_small_however_long_a_clock_was_ahead() -> None:
    account, now = Account(Caps()), "2026-11-28T12:00:00"
    for minute in [*range(3_000, 3_000 + 2 * MAX_MINUTES), *range(2 * MAX_MINUTES)]:
        assert use(account, 1, later(now, minutes=minute)) == 1
    for day in range(2 * MAX_DAYS):
        assert use(account, 1, later(now, days=day)) == 1
    assert (len(account.usage.minutes), len(account.usage.days)) == (MAX_MINUTES, MAX_DAYS)
    assert account.used("month", later(now, days=2 * MAX_DAYS - 1)) == 30  # of January


def test_a_correction_of_what_counts_no_more_changes_nothing() -> None:
    account, now = Account(Caps()), "2026-11-28T12:00:00"
    for minute in range(MAX_MINUTES + 1):
        use(account, 5, later(now, minutes=minute))
    account.settle(5, 1, at(now))
    assert [amount.used for amount in account.usage.minutes] == [5] * MAX_MINUTES

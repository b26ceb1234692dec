"""The breaker's states: closed, open, half open."""

from __future__ import annotations

from streams.core.guards.breaker import Breaker, Permit


def opened(to_close: int = 2) -> Breaker:
    breaker = Breaker(every_s=10.0, to_close=to_close)
    breaker.open(100.0)
    return breaker


def test_closed_lets_every_call_through_and_hears_of_no_trial() -> None:
    breaker = Breaker(10.0, 2)
    assert [breaker.permit(now) for now in (0.0, 0.0, 1e9)] == [Permit.CALL] * 3
    breaker.failed(1e9)
    assert not breaker.passed(1e9)
    assert not breaker.is_open


def test_open_lets_one_trial_through_at_a_time() -> None:
    breaker = opened()
    assert breaker.is_open
    assert [breaker.permit(now) for now in (100.0, 109.9)] == [Permit.REFUSED] * 2
    assert [breaker.permit(110.0) for _ in range(3)] == [Permit.TRIAL, Permit.REFUSED, Permit.REFUSED]


def test_a_trial_that_never_comes_back_holds_nothing_up() -> None:
    breaker = opened()
    assert breaker.permit(110.0) is Permit.TRIAL
    assert breaker.permit(119.9) is Permit.REFUSED
    assert breaker.permit(120.0) is Permit.TRIAL


def test_a_bad_trial_begins_the_wait_anew() -> None:
    breaker = opened()
    assert breaker.permit(110.0) is Permit.TRIAL
    breaker.failed(115.0)
    assert breaker.permit(124.9) is Permit.REFUSED
    assert breaker.permit(125.0) is Permit.TRIAL


def test_good_trials_follow_one_another_at_once_and_close_it() -> None:
    breaker = opened(to_close=2)
    assert breaker.permit(110.0) is Permit.TRIAL
    assert not breaker.passed(110.5)
    assert [breaker.permit(110.5) for _ in range(2)] == [Permit.TRIAL, Permit.REFUSED]
    assert breaker.passed(111.0)
    assert not breaker.is_open
    assert breaker.permit(111.0) is Permit.CALL


def test_only_good_trials_in_a_row_count() -> None:
    breaker = opened(to_close=2)
    breaker.passed(110.0)
    breaker.failed(111.0)
    assert not breaker.passed(121.0)
    assert breaker.passed(121.0)


def test_it_opens_again_with_nothing_forgiven() -> None:
    breaker = opened(to_close=2)
    breaker.passed(110.0)
    breaker.passed(110.0)
    breaker.open(200.0)
    assert not breaker.passed(210.0)
    assert breaker.is_open

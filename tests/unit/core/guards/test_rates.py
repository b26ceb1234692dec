"""Windowed rates equal their batch reference at every call, in bounded memory."""

from __future__ import annotations

import random

from streams.core.guards.rates import Rates


def test_equal_to_counting_again_at_every_call() -> None:
    chance = random.Random(5)
    rates, calls = Rates(20), []
    for _ in range(300):
        calls.append({name for name in "abc" if chance.random() < 0.2})
        rates.push(calls[-1])
        window, before = calls[-20:], calls[:-20]
        assert rates.calls == len(window)
        assert rates.names() == {name: n for name in "abc" if (n := sum(name in call for call in window))}
        for name in "abc":
            assert rates.count(name) == sum(name in call for call in window)
            assert rates.before(name) == (sum(name in call for call in before), len(before))


def test_the_history_fades_and_stays_small() -> None:
    rates = Rates(20)
    for _ in range(400):
        rates.push({"old"})
    for number in range(20_000):
        rates.push({"new"} if number % 2 else ())
    hits, calls = rates.before("new")
    assert calls <= 20 * 20
    assert 0.45 < hits / calls < 0.55
    assert rates.before("old")[0] < 0.02
    assert rates.names().keys() == {"new"}


def test_what_is_not_to_be_learned_is_not() -> None:
    rates = Rates(10)
    for _ in range(30):
        rates.push(())
    for _ in range(10):
        rates.push({"bad"})
    assert rates.before("bad") == (0.0, 30)
    for _ in range(50):
        rates.push({"bad"}, learn=False)
    assert rates.before("bad") == (0.0, 30)


def test_an_expectation_leans_on_its_prior_until_there_is_history() -> None:
    rates = Rates(10)
    assert rates.expected("bad", prior=0.02, weight=100) == 0.02
    for _ in range(110):
        rates.push({"bad"})
    assert rates.expected("bad", prior=0.02, weight=100) == (100 + 2) / 200


def test_a_new_window_keeps_the_history() -> None:
    rates = Rates(10)
    for _ in range(15):
        rates.push({"bad"})
    rates.forget_window()
    assert (rates.calls, rates.count("bad"), rates.before("bad")) == (0, 0, (5.0, 5.0))

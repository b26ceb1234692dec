"""The limits of the queue of reviews hold between two counts of it."""

from __future__ import annotations

from streams.core.guards.review_arrivals import ReviewArrivals


def test_nothing_is_full_before_the_queue_was_counted_or_without_limits() -> None:
    for arrivals in (ReviewArrivals(1, 1), ReviewArrivals(None, None)):
        arrivals.passed("abc", 0.0)
        assert not arrivals.are_full
    arrivals.counted(9, 9)
    assert not arrivals.are_full


def test_what_was_let_through_or_stored_since_counts_once() -> None:
    arrivals = ReviewArrivals(None, 5)
    arrivals.counting(0.0)
    arrivals.counted(waiting=0, per_hour=3)
    arrivals.passed(["a"], 0.0)
    arrivals.stored("a")
    assert not arrivals.are_full
    arrivals.stored("b")  # which another process has let through
    assert arrivals.are_full


def test_what_is_stored_while_the_queue_is_counted_may_not_be_in_the_count() -> None:
    arrivals = ReviewArrivals(2, None)
    arrivals.counting(0.0)
    arrivals.stored("a")
    arrivals.counted(waiting=1, per_hour=1)
    assert arrivals.are_full
    arrivals.counting(1.0)
    arrivals.counted(waiting=1, per_hour=1)
    assert not arrivals.are_full


def test_what_was_let_through_counts_until_it_is_stored_or_long_ago() -> None:
    arrivals = ReviewArrivals(2, None)
    arrivals.passed(["a", "b"], 0.0)
    for now, full in ((1.0, True), (9.0, True), (11.0, False)):
        arrivals.counting(now)
        arrivals.counted(waiting=0, per_hour=0)
        assert arrivals.are_full is full

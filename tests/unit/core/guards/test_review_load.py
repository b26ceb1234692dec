"""When there are too many reviews, said once, and when there is room again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas import Alert
from streams.core.guards import AlertKind
from streams.core.guards.review_load import SOURCE, ReviewLoad, ReviewOverload
from tests.support.messages import alert

COUNTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)
LIMIT = st.one_of(st.none(), st.integers(1, 20))


def said(kind: AlertKind) -> Alert:
    return alert(source=SOURCE, kind=kind)


@given(LIMIT, LIMIT, COUNTS)
def test_overloads_and_recoveries_take_turns_and_each_is_true(
    max_waiting: int | None, max_per_hour: int | None, counts: list[tuple[int, int]]
) -> None:
    load, topic = ReviewLoad(max_waiting, max_per_hour), ReviewOverload()
    for waiting, per_hour in counts:
        before = bool(topic)
        found = load.judge(waiting, per_hour, overloaded=before)
        too_many = (max_waiting is not None and waiting >= max_waiting) or (
            max_per_hour is not None and per_hour >= max_per_hour
        )
        if found is None:
            assert before or not too_many
            continue
        assert topic.update(said(found.kind))
        assert bool(topic) is (found.kind is AlertKind.REVIEW_OVERLOAD) is too_many
        assert bool(topic) is not before


def test_what_was_said_is_not_said_again_before_the_topic_has_it() -> None:
    load = ReviewLoad(5, None)
    first = load.judge(5, 0, overloaded=False)
    assert first is not None
    assert first.summary == "too many reviews: 5 waiting (limit 5); tickets that need a reviewer wait"
    assert load.judge(9, 0, overloaded=False) is None
    assert load.judge(9, 0, overloaded=True) is None
    over = load.judge(4, 0, overloaded=True)
    assert over is not None
    assert over.kind is AlertKind.RECOVERED
    assert over.summary == "reviewers have room again: 4 waiting (limit 5)"


def test_an_alert_names_each_limit_that_is_reached() -> None:
    found = ReviewLoad(5, 10).judge(6, 12, overloaded=False)
    assert found is not None
    assert "6 waiting (limit 5) and 12 within an hour (limit 10)" in found.summary


def test_it_is_over_at_nine_tenths_and_not_with_one_decision() -> None:
    load = ReviewLoad(100, None)
    assert load.judge(91, 0, overloaded=True) is None
    assert load.judge(90, 0, overloaded=True) is not None


def test_an_overload_of_which_the_limits_are_gone_is_over() -> None:
    assert ReviewLoad(None, None).judge(10_000, 10_000, overloaded=True) is not None


def test_a_recovery_of_something_else_ends_no_overload() -> None:
    topic = ReviewOverload()
    topic.update(said(AlertKind.REVIEW_OVERLOAD))
    assert not topic.update(alert(source="cheap:m", kind=AlertKind.RECOVERED))
    assert topic

"""One finding of several workers is one alert."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import Alert
from streams.core.guards.alert_book import AlertBook
from streams.core.guards.finding import AlertKind, Finding

NOON_MS = 1_800_000_000_000
REMIND_MS = 3_600_000


def finding(kind: AlertKind = AlertKind.ENDPOINT_DOWN, source: str = "cheap:m", **details: Any) -> Finding:
    return Finding(kind, source, "summary", details)


def recovered(*was: str, source: str = "cheap:m") -> Finding:
    return finding(AlertKind.RECOVERED, source, was=list(was))


def told(book: AlertBook, what: Finding, at_ms: int = NOON_MS) -> Alert:
    alert = book.alert(what, at_ms)
    assert alert is not None
    return alert


def test_workers_that_find_the_same_at_the_same_time_give_it_one_id() -> None:
    one, other = AlertBook(), AlertBook()
    first = told(one, finding())
    assert told(other, finding(), NOON_MS + 7).alert_id == first.alert_id
    one.take(first)
    other.take(first)
    assert one.is_on_topic(first)
    ends = [told(book, recovered("endpoint_down"), NOON_MS + 60_000) for book in (one, other)]
    assert ends[0].alert_id == ends[1].alert_id != first.alert_id


def test_the_ids_of_two_pipelines_and_of_what_the_topic_has_forgotten_differ() -> None:
    month_ms = 30 * 24 * REMIND_MS
    ids = [
        told(AlertBook(), finding()).alert_id,
        told(AlertBook(pipeline="other."), finding()).alert_id,
        told(AlertBook(), finding(), NOON_MS + month_ms).alert_id,
    ]
    assert len(set(ids)) == 3


def test_what_another_worker_has_told_is_not_told_again_and_neither_is_its_end() -> None:
    one, other = AlertBook(), AlertBook()
    other.take(told(one, finding()))
    assert other.alert(finding(), NOON_MS + 1) is None
    other.take(told(one, recovered("endpoint_down"), NOON_MS + 2))
    assert other.alert(recovered("endpoint_down"), NOON_MS + 3) is None


def test_an_alert_that_is_sent_again_after_its_end_begins_nothing() -> None:
    writer, book = AlertBook(), AlertBook()
    first = told(writer, finding())
    end = told(writer, recovered("endpoint_down"), NOON_MS + 1)
    for alert in (first, end, first):
        book.take(alert)
    assert book.standing("cheap:m") == []
    assert told(book, finding(), NOON_MS + 2).alert_id == told(writer, finding(), NOON_MS + 2).alert_id


def test_what_begins_again_is_news_with_another_id() -> None:
    book = AlertBook()
    first = told(book, finding())
    told(book, recovered("endpoint_down"), NOON_MS + 1)
    assert told(book, finding(), NOON_MS + 2).alert_id != first.alert_id


def test_what_stands_is_told_again_after_its_time_by_one_of_them() -> None:
    one, other = AlertBook(), AlertBook()
    first = told(one, finding())
    other.take(first)
    assert one.alert(finding(), NOON_MS + REMIND_MS - 1) is None
    again = told(one, finding(), NOON_MS + REMIND_MS)
    assert told(other, finding(), NOON_MS + REMIND_MS + 5).alert_id == again.alert_id != first.alert_id
    other.take(again)
    assert other.alert(finding(), NOON_MS + REMIND_MS + 9) is None


def test_an_end_of_what_nobody_began_is_not_told() -> None:
    book = AlertBook()
    assert book.alert(recovered("endpoint_down"), NOON_MS) is None
    told(book, finding())
    assert book.alert(recovered("endpoint_down", source="big:m"), NOON_MS) is None


@pytest.mark.parametrize(
    ("kind", "details", "was"),
    [
        (AlertKind.CONTRACT_CHANGED, {"use": "accept", "breaker": "open"}, "contract_changed:accept"),
        (AlertKind.SIGNAL_OUTAGE, {"reason": "logprobs_null", "breaker": "closed"}, "signal_outage:logprobs_null"),
        (AlertKind.MODEL_NOT_ALLOWED, {"returned": "other"}, "model_not_allowed:other"),
        (AlertKind.ESCALATION_FLOOD, {"window": 200}, "escalation_flood"),
        (AlertKind.ACCOUNT, {"mode": "hold"}, "endpoint_down"),
    ],
)
def test_every_kind_is_ended_by_the_name_that_its_guard_gives_it(
    kind: AlertKind, details: dict[str, str], was: str
) -> None:
    book = AlertBook()
    told(book, finding(kind, **details))
    assert book.alert(recovered("something_else"), NOON_MS) is None
    told(book, recovered(was))
    assert book.alert(recovered(was), NOON_MS) is None


def test_a_breaker_that_opens_is_news_even_if_the_change_was_told() -> None:
    book = AlertBook()
    told(book, finding(AlertKind.CONTRACT_CHANGED, use="accept", breaker="closed"))
    told(book, finding(AlertKind.CONTRACT_CHANGED, use="accept", breaker="open"))

"""notify and announce: what they pass on, what is history, and that no webhook's trouble is theirs."""

from __future__ import annotations

from schemas import Review
from streams.agents.announce import AnnounceHandler, Arrived
from streams.agents.notify import NotifyHandler
from streams.webhooks.notice import Notice
from streams.worker.messengers import arrived
from tests.support.messages import alert, attempt, call, review
from tests.support.records import FakeRecord

NOW_MS = 10_000_000_000


async def test_an_alert_goes_to_every_webhook_whether_or_not_another_takes_it() -> None:
    sent: list[tuple[str, str]] = []

    async def refuses(notice: Notice) -> bool:
        sent.append(("refuses", notice.message_id))
        return False

    async def takes(notice: Notice) -> bool:
        sent.append(("takes", notice.message_id))
        return True

    message = alert(at_ms=NOW_MS - 1000)
    assert await NotifyHandler([refuses, takes], lambda: NOW_MS)(message) == ()
    assert sent == [("refuses", message.alert_id), ("takes", message.alert_id)]


async def test_an_alert_of_hours_ago_is_history() -> None:
    sent: list[Notice] = []

    async def takes(notice: Notice) -> bool:
        sent.append(notice)
        return True

    await NotifyHandler([takes], lambda: NOW_MS)(alert(at_ms=NOW_MS - 4_000_000))
    assert sent == []


def test_reviews_are_passed_on_unless_they_came_hours_ago() -> None:
    added: list[str] = []
    announce = AnnounceHandler([lambda each: added.append(each.ticket_id)], lambda: NOW_MS)
    for name, at_ms in (("new", NOW_MS - 1000), ("old", NOW_MS - 4_000_000), ("undated", -1)):
        assert announce(Arrived(review(name), at_ms)) == ()
    assert added == ["new", "undated"]


def test_a_review_that_was_held_for_hours_after_its_calls_is_passed_on() -> None:
    added: list[Review] = []
    held = review(calls=(call(attempts=(attempt(at_ms=NOW_MS - 4_000_000),)),))
    record = FakeRecord(0, held.encode(), topic="reviews", timestamp=NOW_MS - 1000)
    AnnounceHandler([added.append], lambda: NOW_MS)(arrived(record))
    assert added == [held]

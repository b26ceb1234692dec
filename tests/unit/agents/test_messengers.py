"""notify and announce: what they pass on, what is history, and that no webhook's trouble is theirs."""

from __future__ import annotations

from schemas import Review
from streams.agents.announce import AnnounceHandler
from streams.agents.notify import NotifyHandler
from streams.webhooks.notice import Notice
from tests.support.messages import alert, attempt, call, review

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


def test_reviews_are_passed_on_unless_their_last_call_is_hours_old() -> None:
    added: list[Review] = []
    announce = AnnounceHandler([added.append], lambda: NOW_MS)
    for at_ms in (NOW_MS - 1000, NOW_MS - 4_000_000):
        assert announce(review(calls=(call(attempts=(attempt(at_ms=at_ms),)),))) == ()
    announce(review(calls=()))
    assert [len(each.calls) for each in added] == [1, 0]

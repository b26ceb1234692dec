"""Reviews wait while there are too many, whichever handler they come from, and nothing is paid twice."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from schemas import Message
from streams.agents import limit as limits
from streams.agents.limit import Limit
from streams.agents.spared import SparesReviewers
from streams.agents.turns import Turns
from streams.core.guards.review_arrivals import ReviewArrivals
from streams.errors import Hold
from tests.support.messages import review, routed


class Handler:
    """Returns what it is given to return, and counts how often it is called."""

    def __init__(self, output: Message) -> None:
        self.output = output
        self.calls = 0

    def __call__(self, _: object) -> Sequence[Message]:
        self.calls += 1
        return (self.output,)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOK_EVERY_S", 0.0)


async def delivered(handler: SparesReviewers) -> Sequence[Message]:
    """Call as delivery does: again after each hold."""
    while True:
        try:
            return await handler("ticket")
        except Hold as hold:
            await hold.over()


async def test_a_review_waits_until_reviewers_have_room_and_the_handler_is_called_once() -> None:
    too_many = True
    inner = Handler(review())
    waiting = asyncio.create_task(delivered(SparesReviewers(inner, Limit("reviews", lambda: too_many))))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    too_many = False
    assert await waiting == (review(),)
    assert inner.calls == 1


async def test_tickets_go_on_in_turns_once_reviewers_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    limit = Limit("reviews", lambda: False, turns=Turns(20, lambda: 0.0))
    await asyncio.gather(*(limit.hold().over() for _ in range(4)))
    assert pauses == pytest.approx([0.0, 0.05, 0.1, 0.15])


async def test_no_more_reviews_are_let_through_between_two_counts_than_there_is_room_for() -> None:
    arrivals = ReviewArrivals(max_waiting=5, max_per_hour=None)
    arrivals.counted(waiting=2, per_hour=9)
    limit = Limit("reviews", lambda: arrivals.are_full)

    def passed(review_ids: Collection[str]) -> None:
        arrivals.passed(review_ids, 0.0)

    for number in range(3):
        doubt = review(review_id=f"r-{number}")
        assert await SparesReviewers(Handler(doubt), limit, passed)("ticket") == (doubt,)
    with pytest.raises(Hold):
        await SparesReviewers(Handler(review()), limit, passed)("ticket")
    others = SparesReviewers(Handler(routed()), limit, passed)
    assert await others("ticket") == (routed(),)


async def test_what_needs_no_reviewer_goes_on() -> None:
    inner = Handler(routed())
    assert await SparesReviewers(inner, Limit("reviews", lambda: True))("ticket") == (routed(),)


async def test_a_handler_that_calls_out_is_awaited() -> None:
    async def asks(_: object) -> Sequence[Message]:
        await asyncio.sleep(0)
        return (review(),)

    assert await SparesReviewers(asks, Limit("reviews", lambda: False))("ticket") == (review(),)

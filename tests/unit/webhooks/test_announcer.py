"""New reviews are put together: a flood is one message, one at a time goes out, and a failed message goes with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from schemas import Review
from streams.webhooks.announcer import Announcer
from streams.webhooks.notice import MOST_TICKETS, Notice
from tests.support.messages import review


class Stand:
    """An announcer whose pauses pass when the test lets them: ``arrivals`` says which reviews come in each."""

    def __init__(self, every_s: float, arrivals: Sequence[Sequence[Review]], taken: Sequence[bool] = ()) -> None:
        self.announcer = Announcer(self.send, every_s, sleep=self.sleep, wall_ms=lambda: 1_000_000)
        self.arrivals = list(arrivals)
        self.taken = list(taken)
        self.sent: list[Notice] = []
        self.pauses: list[float] = []
        self.over = asyncio.Event()

    async def send(self, notice: Notice, *, attempts: int | None = None) -> bool:
        self.sent.append(notice)
        return self.taken.pop(0) if self.taken else True

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if not self.arrivals:
            self.over.set()
            await asyncio.Event().wait()
        for each in self.arrivals.pop(0):
            self.announcer.add(each)

    async def run(self, *first: Review) -> list[tuple[int, int]]:
        """Return the number of reviews and of named tickets in each message."""
        async with self.announcer.running():
            for each in first:
                self.announcer.add(each)
            async with asyncio.timeout(30):
                await self.over.wait()
        return [(notice.data["count"], len(notice.data["ticket_ids"])) for notice in self.sent]


def some(count: int) -> list[Review]:
    return [review(f"t-{number}") for number in range(count)]


async def test_a_flood_is_one_message_that_names_the_first() -> None:
    stand = Stand(60.0, [some(500) * 100])
    assert await stand.run(review("first")) == [(50_001, MOST_TICKETS)]
    assert stand.sent[0].data["ticket_ids"][0] == "first"
    assert "50001 new tickets wait for a reviewer" in stand.sent[0].line


async def test_no_more_than_one_message_in_the_set_time() -> None:
    stand = Stand(60.0, [some(2), some(3), some(4)])
    assert await stand.run(review()) == [(3, 3), (7, 7)]
    assert stand.pauses == [5.0, 55.0, 5.0, 55.0]


async def test_what_did_not_arrive_goes_with_the_next_message() -> None:
    stand = Stand(10.0, [some(2), some(3), []], taken=[False, True])
    assert await stand.run(review("first")) == [(3, 3), (6, 6)]
    assert stand.sent[1].data["ticket_ids"][0] == "first"
    reasons = dict(stand.sent[1].data["reasons"])
    assert sum(reasons.values()) == 6 * len(review().reasons)


async def test_what_waits_at_the_stop_is_sent() -> None:
    stand = Stand(10.0, [])
    assert await stand.run(review()) == [(1, 1)]
    assert stand.sent[0].line.startswith("Hedgerow: Ticket t-1 waits for a reviewer")


async def test_no_text_of_a_ticket_is_in_a_message() -> None:
    stand = Stand(10.0, [])
    secret = review()
    assert secret.ticket.text
    await stand.run(secret)
    for shape in ("json", "slack"):
        assert secret.ticket.text.encode() not in stand.sent[0].body(shape)  # type: ignore[arg-type]

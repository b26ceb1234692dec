"""A reviewer under chaos: decides everything that waits as a desk does, while the store and the brokers go away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streams.aio import in_background
from streams.desk.sending import Sender
from streams.errors import TryAgain
from streams.reviews.decision import DecisionRefused
from streams.reviews.store import ReviewStore
from streams.settings import Settings

_PAGE = 50
_PAUSE_S = 0.5


class Reviewer:
    """Takes the label that is suggested, or the first one, and has decisions sent as the desk has them sent."""

    def __init__(self, settings: Settings) -> None:
        self._labels = list(settings.labels)
        self._store = ReviewStore(settings.review.url, labels=settings.labels, wire=settings.wire)
        self._sender = Sender(self._store, settings)
        self.decided: set[str] = set()
        """The tickets whose decision is stored."""

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Decide and send in the background."""
        try:
            async with in_background(self._sender.run()), in_background(self._decide()):
                yield
        finally:
            self._store.close()

    async def _decide(self) -> None:
        while True:
            try:
                while await asyncio.to_thread(self._decide_page):
                    self._sender.wake()
            except TryAgain:  # the store is unavailable, which others say
                pass
            await asyncio.sleep(_PAUSE_S)

    def _decide_page(self) -> int:
        before = len(self.decided)
        for item in self._store.waiting(_PAGE):
            review = item.review
            label = review.suggested if review.suggested in self._labels else self._labels[0]
            try:
                self._store.decide(review.review_id, label, "chaos", "", time.time_ns() // 1_000_000)
            except DecisionRefused:  # of an earlier text, for instance: it was closed meanwhile
                continue
            # At once: the store may be killed before the page is through, and these decisions have to be sent all the same.
            self.decided.add(f"ticket {review.ticket_id}")
        return len(self.decided) - before

"""review: puts a doubtful ticket in the review queue."""

from __future__ import annotations

from collections.abc import Callable

from schemas import Review
from streams.errors import GiveUp
from streams.reviews.group_commit import GroupCommit, ReviewQueue


class ReviewHandler:
    """Review -> nothing: it ends when the review is stored, so that its offset finishes after that.

    Outputs follow when a reviewer decides. What the queue raises passes through: TryAgain while its database is locked
    or unavailable, StopWorker if no retry would help. Raises GiveUp for a review under an id that is not its ticket's.
    ``stored`` is called with the id of each after that.
    """

    def __init__(self, queue: ReviewQueue, stored: Callable[[str], None] = lambda _: None) -> None:
        self._store = GroupCommit(queue)
        self._stored = stored

    async def __call__(self, message: Review) -> tuple[()]:
        """Store one review."""
        if message.review_id != Review.id_for(message.ticket_id, message.revision, message.run):
            # Under the id of another ticket's review it would be taken for that one, and no reviewer would see it.
            raise GiveUp("the review's id is not the one of its ticket", reason="wrong_review_id")
        await self._store.add(message)
        self._stored(message.review_id)
        return ()

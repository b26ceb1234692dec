"""review: puts a doubtful ticket in front of a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from schemas import Message, Review
from streams.errors import GiveUp
from streams.reviews.group_commit import GroupCommit, ReviewQueue


def review(queue: ReviewQueue) -> Callable[[Review], Awaitable[Sequence[Message]]]:
    """Return the handler Review -> nothing: it ends when the review is stored, so that its offset finishes after that.

    Outputs follow when a person decides. What the queue raises passes through: TryAgain while its database is locked
    or away, StopWorker where no retry would help. Raises GiveUp for a review under an id that is not its ticket's.
    """
    store = GroupCommit(queue)

    async def handle(message: Review) -> Sequence[Message]:
        if message.review_id != Review.id_for(message.ticket_id):
            # Under the id of another ticket's review it would be taken for that one, and nobody would ever see it.
            raise GiveUp("the review's id is not the one of its ticket", reason="wrong_review_id")
        await store.add(message)
        return ()

    return handle

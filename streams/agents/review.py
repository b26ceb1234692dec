"""review: puts a doubtful ticket in front of a person, and says what the person's decision becomes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from schemas import Message, Review, Routed, Verdict, stable_id
from streams.errors import GiveUp, HedgerowError
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


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided, as the two messages that tell it; ``sent`` once Kafka has both."""

    verdict: Verdict
    routed: Routed
    sent: bool


class DecisionRefused(HedgerowError):
    """A decision that cannot be taken, with one line for the person who made it."""


class AlreadyDecided(DecisionRefused):
    """Somebody was first, or the same person with another label; ``decision`` is the one that stands."""

    def __init__(self, decision: Decision) -> None:
        verdict = decision.verdict
        super().__init__(f"{verdict.decided_by!r} has already decided {verdict.review_id!r} as {verdict.label!r}")
        self.decision = decision


def outcome_of(review: Review, label: str, by: str, note: str, at_ms: int) -> tuple[Verdict, Routed]:
    """Return the messages of a decision that ``by`` took at ``at_ms`` (Unix time, milliseconds).

    Raises DecisionRefused for a value that no message can carry.
    """
    try:
        verdict = Verdict(
            verdict_id=stable_id("verdict", review.review_id),
            review_id=review.review_id,
            ticket_id=review.ticket_id,
            label=label,
            decided_by=by,
            at_ms=at_ms,
            note=note,
            suggested=review.suggested,
            calls=review.calls,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise DecisionRefused(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    routed = Routed(
        result_id=Routed.id_for(review.ticket_id),
        ticket_id=review.ticket_id,
        label=label,
        decided_by="human",
        confidence=None,
        entropy=None,
        policy_id=review.policy_id,
        reasons=review.reasons,
        calls=review.calls,
    )
    return verdict, routed

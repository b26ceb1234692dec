"""A reviewer's decision on a review, and the two messages that tell it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from schemas import CORRECTION, NONE_OF_THESE, Review, Routed, Ticket, Verdict
from streams.errors import HedgerowError


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reviewer decided, as the two messages that tell it; ``sent`` once Kafka has both."""

    verdict: Verdict
    routed: Routed
    sent: bool


class DecisionRefused(HedgerowError):
    """A decision that cannot be taken, with one line for the reviewer who made it."""


class AlreadyDecided(DecisionRefused):
    """Somebody was first, or the same reviewer with another label; ``decision`` is the one that stands."""

    def __init__(self, decision: Decision) -> None:
        verdict = decision.verdict
        super().__init__(
            f"{verdict.decided_by!r} has already decided ticket {verdict.ticket_id!r} as "
            f"{'none of the labels' if verdict.label is None else repr(verdict.label)}"
        )
        self.decision = decision


def review_of(result: Routed, ticket: Ticket) -> Review:
    """Return the review that stands for a result which a reviewer corrects though it was in no review."""
    return Review(
        review_id=Review.id_for(result.ticket_id, result.revision, result.run),
        ticket=ticket,
        calls=result.calls,
        reasons=tuple(reason for reason in result.reasons if reason != NONE_OF_THESE),
        uncertainty=0.0,
        suggested=result.label,
        policy_id=result.policy_id,
        purpose=CORRECTION,
        ticket_at_ms=result.ticket_at_ms,
        revision=result.revision,
        run=result.run,
    )


def outcome_of(
    review: Review, label: str | None, by: str, note: str, at_ms: int, number: int = 1
) -> tuple[Verdict, Routed]:
    """Return the messages of a decision that ``by`` took at ``at_ms`` (Unix time, milliseconds); None: no label fits.

    ``number`` counts the decisions on the review: one beyond the first corrects the one before.

    Raises DecisionRefused for a value that no message can carry.
    """
    corrected = number > 1 or review.purpose == CORRECTION
    try:
        verdict = Verdict(
            verdict_id=Verdict.id_for(review.review_id, number),
            review_id=review.review_id,
            ticket_id=review.ticket_id,
            label=label,
            decided_by=by,
            at_ms=at_ms,
            note=note,
            suggested=review.suggested,
            calls=review.calls,
            decision=number,
            corrected=corrected,
            purpose=review.purpose,
            ticket_at_ms=review.ticket_at_ms,
            revision=review.revision,
            run=review.run,
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
        reasons=review.reasons if label is not None else (*review.reasons, NONE_OF_THESE),
        calls=review.calls,
        at_ms=at_ms,
        metadata=review.ticket.metadata,
        reviewer=by,
        note=note,
        decision=number,
        corrected=corrected,
        ticket_at_ms=review.ticket_at_ms,
        revision=review.revision,
        run=review.run,
    )
    return verdict, routed

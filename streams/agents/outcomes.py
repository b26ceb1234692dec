"""The messages that end a ticket or hand it on, built the same way by every agent that decides."""

from __future__ import annotations

from schemas import Call, DecidedBy, Review, Routed, Scored, Ticket
from streams.core.policy import Decision, Policy, uncertainty


def routed(
    ticket: Ticket,
    decision: Decision,
    *,
    by: DecidedBy,
    policy: Policy,
    calls: tuple[Call, ...],
    reasons: tuple[str, ...] = (),
) -> Routed:
    """Return the result of an accepted answer: the last call's label.

    Raises TypeError without a signal: nothing unscored is ever accepted, whatever the decision says.
    """
    signal = calls[-1].signal
    if not isinstance(signal, Scored):
        raise TypeError("an answer without a signal cannot be accepted")
    return Routed(
        result_id=Routed.id_for(ticket.ticket_id),
        ticket_id=ticket.ticket_id,
        label=signal.label,
        decided_by=by,
        confidence=decision.confidence,
        entropy=decision.entropy,
        top_k_mass=signal.top_k_mass,
        policy_id=policy.id,
        reasons=reasons,
        calls=calls,
    )


def review(
    ticket: Ticket, policy: Policy, calls: tuple[Call, ...], reasons: tuple[str, ...], label_count: int
) -> Review:
    """Return the doubt about a ticket, for a person; the best answer so far is suggested."""
    named = [call.signal.label for call in calls if call.signal.label is not None]
    return Review(
        review_id=Review.id_for(ticket.ticket_id),
        ticket=ticket,
        calls=calls,
        reasons=reasons,
        uncertainty=uncertainty(calls, label_count),
        suggested=named[-1] if named else None,
        policy_id=policy.id,
    )

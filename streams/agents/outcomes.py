"""The messages that end a ticket or hand it on, built the same way by every agent that decides."""

from __future__ import annotations

from schemas import Call, DecidedBy, Escalation, Review, Routed, Scored, Ticket, Turn
from streams.agents.guards import Checked
from streams.core.guards.written_exception import WrittenException
from streams.core.policy.policy import MemoryAnswer, Policy, uncertainty


def accepted(
    ticket: Ticket,
    turn: Turn,
    checked: Checked,
    *,
    by: DecidedBy,
    policy: Policy,
    calls: tuple[Call, ...],
    reasons: tuple[str, ...] = (),
) -> Routed:
    """Return the result of an accepted answer: by its signal, or by the written exception that the decision rests on."""
    exception = checked.exception
    reasons += checked.decision.reasons
    if exception is None:
        return routed(ticket, turn, checked, by=by, policy=policy, calls=calls, reasons=reasons)
    return routed_without_signal(ticket, turn, exception, checked, by=by, policy=policy, calls=calls, reasons=reasons)


def routed(
    ticket: Ticket,
    turn: Turn,
    checked: Checked,
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
        confidence=checked.decision.confidence,
        entropy=checked.decision.entropy,
        top_k_mass=signal.top_k_mass,
        policy_id=policy.id,
        reasons=reasons,
        calls=calls,
        at_ms=checked.at_ms,
        metadata=ticket.metadata,
        ticket_at_ms=turn.ticket_at_ms,
        revision=turn.revision,
        run=turn.run,
    )


def routed_without_signal(
    ticket: Ticket,
    turn: Turn,
    exception: WrittenException,
    checked: Checked,
    *,
    by: DecidedBy,
    policy: Policy,
    calls: tuple[Call, ...],
    reasons: tuple[str, ...],
) -> Routed:
    """Return the result of an answer that a written exception accepts on the day of the check, without any number.

    This is the only way from no signal to a label that no reviewer chose. Raises TypeError for a call that the exception
    does not cover, whatever else was decided, and for reasons that do not name it.
    """
    label = calls[-1].signal.label
    if label is None or not exception.covers(calls[-1], checked.on) or exception.decision_reason not in reasons:
        raise TypeError(f"the exception {exception.id} does not cover this answer")
    return Routed(
        result_id=Routed.id_for(ticket.ticket_id),
        ticket_id=ticket.ticket_id,
        label=label,
        decided_by=by,
        confidence=None,
        entropy=None,
        policy_id=policy.id,
        reasons=reasons,
        calls=calls,
        at_ms=checked.at_ms,
        metadata=ticket.metadata,
        ticket_at_ms=turn.ticket_at_ms,
        revision=turn.revision,
        run=turn.run,
    )


def known(ticket: Ticket, turn: Turn, answer: MemoryAnswer, policy: Policy, at_ms: int) -> Routed:
    """Return the result of a ticket that labelled tickets answered alone, without a call.

    Raises TypeError without their votes, and for a policy that did not bound their error.
    """
    bounded = policy.fitted is not None and policy.fitted.tier_zero is not None
    if answer.decision.action != "accept" or not answer.voters or not bounded:
        raise TypeError("the memory may not answer this")
    return Routed(
        result_id=Routed.id_for(ticket.ticket_id),
        ticket_id=ticket.ticket_id,
        label=answer.label,
        decided_by="memory",
        confidence=answer.decision.confidence,
        entropy=answer.decision.entropy,
        policy_id=policy.id,
        neighbours=answer.voters,
        at_ms=at_ms,
        metadata=ticket.metadata,
        ticket_at_ms=turn.ticket_at_ms,
        revision=turn.revision,
        run=turn.run,
    )


def audited(ticket: Ticket, turn: Turn, answer: MemoryAnswer, policy: Policy) -> Review:
    """Return the answer of labelled tickets for a reviewer, because it was drawn for audit."""
    return Review(
        review_id=Review.id_for(ticket.ticket_id, turn.revision, turn.run),
        ticket=ticket,
        calls=(),
        reasons=answer.decision.reasons,
        uncertainty=answer.decision.entropy or 0.0,
        suggested=answer.label,
        policy_id=policy.id,
        ticket_at_ms=turn.ticket_at_ms,
        revision=turn.revision,
        run=turn.run,
    )


def escalation(ticket: Ticket, turn: Turn, policy: Policy, call: Call | None, reasons: tuple[str, ...]) -> Escalation:
    """Return the ticket for the big tier; ``call`` is the cheap tier's, None if it was not asked."""
    return Escalation(
        ticket=ticket,
        call=call,
        reasons=reasons,
        policy_id=policy.id,
        ticket_at_ms=turn.ticket_at_ms,
        revision=turn.revision,
        run=turn.run,
    )


def review(
    ticket: Ticket, turn: Turn, policy: Policy, calls: tuple[Call, ...], reasons: tuple[str, ...], label_count: int
) -> Review:
    """Return the doubt about a ticket, for a reviewer; the best answer so far is suggested."""
    named = [call.signal.label for call in calls if call.signal.label is not None]
    return Review(
        review_id=Review.id_for(ticket.ticket_id, turn.revision, turn.run),
        ticket=ticket,
        calls=calls,
        reasons=reasons,
        uncertainty=uncertainty(calls, label_count),
        suggested=named[-1] if named else None,
        policy_id=policy.id,
        ticket_at_ms=turn.ticket_at_ms,
        revision=turn.revision,
        run=turn.run,
    )

"""score: decides whether the cheap model's answer is enough. Computes only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas import Classification, Escalation, Message
from streams.agents.outcomes import review, routed
from streams.core.policy import Policy, decide_cheap


def score(policy: Policy, label_count: int) -> Callable[[Classification], Sequence[Message]]:
    """Return the handler Classification -> Routed, Escalation or Review."""

    def handle(message: Classification) -> Sequence[Message]:
        ticket, call = message.ticket, message.call
        decision = decide_cheap(policy, call.signal, ticket.ticket_id)
        if decision.action == "accept":
            return (routed(ticket, decision, by="cheap", policy=policy, calls=(call,)),)
        if decision.action == "escalate":
            return (Escalation(ticket=ticket, call=call, reasons=decision.reasons, policy_id=policy.id),)
        return (review(ticket, policy, (call,), decision.reasons, label_count),)

    return handle

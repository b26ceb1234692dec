"""escalate: asks the big model about a ticket whose cheap answer was not enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from schemas import Escalation, Message
from streams.agents.classify import Ask
from streams.agents.outcomes import review, routed
from streams.core.policy import Policy, decide_big


def escalate(ask: Ask, policy: Policy, label_count: int) -> Callable[[Escalation], Awaitable[Sequence[Message]]]:
    """Return the handler Escalation -> Routed or Review."""

    async def handle(message: Escalation) -> Sequence[Message]:
        ticket, cheap = message.ticket, message.call
        big = await ask(ticket.text)
        decision = decide_big(policy, big.signal, cheap.signal.label)
        calls = (cheap, big)
        cheap_reasons = tuple(f"cheap:{reason}" for reason in message.reasons)
        if decision.action == "accept":
            return (routed(ticket, decision, by="big", policy=policy, calls=calls, reasons=cheap_reasons),)
        reasons = cheap_reasons + tuple(f"big:{reason}" for reason in decision.reasons)
        return (review(ticket, policy, calls, reasons, label_count),)

    return handle

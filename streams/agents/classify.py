"""classify: asks the cheap model about a ticket, unless the policy sends it straight to the big one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from schemas import Call, Classification, Escalation, Message, Ticket
from streams.agents.guards import CallGuard
from streams.agents.outcomes import review
from streams.core.guards import EscalationBudget
from streams.core.policy.policy import Policy, skips_cheap

#: Asks one tier about one text and returns the call, whatever came of it.
Ask = Callable[[str], Awaitable[Call]]

_ASK_ALWAYS = Policy()
_STRAIGHT = "straight_to_big"


def classify(
    ask: Ask, policy: Policy = _ASK_ALWAYS, *, call_guard: CallGuard | None = None, label_count: int = 2
) -> Callable[[Ticket], Awaitable[Sequence[Message]]]:
    """Return the handler Ticket -> Classification, or Escalation where the policy goes straight to the big tier.

    A ``call_guard`` adds its alerts, may answer in place of a broken endpoint, and counts straight tickets as escalations:
    beyond the hour's budget they go to Review, ordered by ``label_count``.
    """

    async def handle(ticket: Ticket) -> Sequence[Message]:
        if skips_cheap(policy, ticket.text):
            allowed, alerts = (True, ()) if call_guard is None else call_guard.escalates()
            if not allowed:
                reasons = (_STRAIGHT, EscalationBudget.REASON)
                return (review(ticket, policy, (), reasons, label_count), *alerts)
            return (Escalation(ticket=ticket, reasons=(_STRAIGHT,), policy_id=policy.id), *alerts)
        call, alerts = (await ask(ticket.text), ()) if call_guard is None else await call_guard.ask(ask, ticket.text)
        return (Classification(ticket=ticket, call=call), *alerts)

    return handle

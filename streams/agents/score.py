"""score: decides whether the cheap model's answer is enough. Computes only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas import Classification, Escalation, Message
from streams.agents.guards import Checked, Decisions
from streams.agents.outcomes import accepted, review
from streams.core.drift.stale_policy import tightened
from streams.core.policy.policy import Policy, decide_cheap
from streams.errors import SettingsError


def score(
    policy: Policy, label_count: int, *, guard: Decisions | None = None, stale: Callable[[], bool] = lambda: False
) -> Callable[[Classification], Sequence[Message]]:
    """Return the handler Classification -> Routed, Escalation or Review, with the alerts of a ``guard``.

    While ``stale`` says that the model is not the one that the policy was made for, what the policy would accept is
    escalated, reviewed or marked, as it says itself. Raises SettingsError for a policy with a limit on escalations and no guard to hold it.
    """
    if guard is None and policy.max_escalations_per_hour is not None:
        raise SettingsError("max_escalations_per_hour needs a guard that counts them")

    def handle(message: Classification) -> Sequence[Message]:
        ticket, call = message.ticket, message.call
        decision = decide_cheap(policy, call.signal, ticket.ticket_id, call.model_returned, call.perplexity)
        if stale():
            decision = tightened(decision, "cheap", policy.when_stale)
        checked = Checked(decision) if guard is None else guard.check(decision, call)
        decision = checked.decision
        outcome: Message
        if decision.action == "accept":
            outcome = accepted(ticket, checked, by="cheap", policy=policy, calls=(call,))
        elif decision.action == "escalate":
            outcome = Escalation(ticket=ticket, call=call, reasons=decision.reasons, policy_id=policy.id)
        else:
            outcome = review(ticket, policy, (call,), decision.reasons, label_count)
        return (outcome, *checked.alerts)

    return handle

"""escalate: asks the big model about a ticket for which the cheap one was not enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from schemas import Escalation, Message
from streams.agents.classify import Ask
from streams.agents.guards import CallGuard, Checked, Decisions
from streams.agents.outcomes import accepted, review
from streams.core.drift.stale_policy import tightened
from streams.core.policy.policy import Policy, decide_big


def escalate(
    ask: Ask,
    policy: Policy,
    label_count: int,
    *,
    call_guard: CallGuard | None = None,
    guard: Decisions | None = None,
    stale: Callable[[], bool] = lambda: False,
) -> Callable[[Escalation], Awaitable[Sequence[Message]]]:
    """Return the handler Escalation -> Routed or Review, with the alerts of its guards.

    ``call_guard`` may answer in place of a broken endpoint, ``guard`` may refuse what the policy accepts,
    and so does the policy itself while ``stale`` says that it was made for another model.
    """

    async def handle(message: Escalation) -> Sequence[Message]:
        ticket, cheap = message.ticket, message.call
        big, alerts = (await ask(ticket.text), ()) if call_guard is None else await call_guard.ask(ask, ticket.text)
        cheap_label = None if cheap is None else cheap.signal.label
        decision = decide_big(policy, big.signal, cheap_label, big.model_returned)
        if stale():
            decision = tightened(decision, "big", policy.when_stale)
        calls = (big,) if cheap is None else (cheap, big)
        cheap_reasons = tuple(f"cheap:{reason}" for reason in message.reasons)
        checked = Checked(decision) if guard is None else guard.check(decision, big)
        alerts += checked.alerts
        if checked.decision.action == "accept":
            return (accepted(ticket, checked, by="big", policy=policy, calls=calls, reasons=cheap_reasons), *alerts)
        reasons = cheap_reasons + tuple(f"big:{reason}" for reason in checked.decision.reasons)
        return (review(ticket, policy, calls, reasons, label_count), *alerts)

    return handle

"""score: decides whether the cheap model's answer is enough. Computes only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from schemas import Alert, Classification, Escalation, Review, Routed
from streams.agents.guards import Check
from streams.agents.outcomes import accepted, escalation, review
from streams.core.drift.stale_policy import tightened
from streams.core.policy.policy import Policy, decide_cheap


class OneByOne:
    """The score handler with a task for each message, which first awaits ``ready``: whether there is an escalation left."""

    def __init__(self, score: ScoreHandler, ready: Callable[[], Awaitable[None]]) -> None:
        self._score = score
        self._ready = ready

    async def __call__(self, message: Classification) -> Sequence[Routed | Escalation | Review | Alert]:
        """Decide on one answer; raises Hold while a limit keeps the decision from standing."""
        await self._ready()
        return self._score(message)


class ScoreHandler:
    """Classification -> Routed, Escalation or Review, with the alerts of ``check``.

    While ``stale`` returns True the model is not the one that the policy was made for: what the policy would accept
    is then escalated, reviewed or marked, as ``Policy.when_stale`` says.
    """

    def __init__(self, policy: Policy, label_count: int, *, check: Check, stale: Callable[[], bool]) -> None:
        self._policy = policy
        self._label_count = label_count
        self._check = check
        self._stale = stale

    def __call__(self, message: Classification) -> Sequence[Routed | Escalation | Review | Alert]:
        """Decide on one answer."""
        ticket, call, policy = message.ticket, message.call, self._policy
        decision = decide_cheap(policy, ticket.ticket_id, call)
        if self._stale():
            decision = tightened(decision, "cheap", policy.when_stale)
        checked = self._check(decision, call)
        decision = checked.decision
        outcome: Routed | Escalation | Review
        if decision.action == "accept":
            outcome = accepted(ticket, message.turn, checked, by="cheap", policy=policy, calls=(call,))
        elif decision.action == "escalate":
            outcome = escalation(ticket, message.turn, policy, call, decision.reasons)
        else:
            outcome = review(ticket, message.turn, policy, (call,), decision.reasons, self._label_count)
        return (outcome, *checked.alerts)

"""escalate: asks the big model about a ticket for which the cheap one was not enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas import Alert, Call, Escalation, Review, Routed, Ticket, Turn
from streams.agents.guards import Check
from streams.agents.model import Ask, Asked
from streams.agents.outcomes import accepted, review
from streams.core.drift.stale_policy import tightened
from streams.core.policy.policy import Policy, decide_big


class EscalateHandler:
    """Escalation -> Routed or Review, with the guards' alerts.

    ``check`` may refuse what the policy accepts. So does the policy itself while ``stale`` returns True: the model is
    then not the one that it was made for. ``paid`` returns a call that was made after the cheap one and paid for already, if
    there is one.
    """

    def __init__(
        self,
        ask: Ask,
        policy: Policy,
        label_count: int,
        *,
        check: Check,
        stale: Callable[[], bool],
        paid: Callable[[Ticket, Turn, Call | None], Asked | None] = lambda _ticket, _turn, _cheap: None,
    ) -> None:
        self._ask = ask
        self._policy = policy
        self._label_count = label_count
        self._check = check
        self._stale = stale
        self._paid = paid

    async def __call__(self, message: Escalation) -> Sequence[Routed | Review | Alert]:
        """Ask about one ticket, and decide."""
        ticket, cheap, policy = message.ticket, message.call, self._policy
        asked = self._paid(ticket, message.turn, cheap) or await self._ask(ticket, cheap)
        big = asked.call
        cheap_label = None if cheap is None else cheap.signal.label
        decision = decide_big(policy, cheap_label, big)
        if self._stale():
            decision = tightened(decision, "big", policy.when_stale)
        checked = self._check(decision, big)
        calls = (big,) if cheap is None else (cheap, big)
        reasons = tuple(f"cheap:{reason}" for reason in message.reasons)
        outcome: Routed | Review
        if checked.decision.action == "accept":
            outcome = accepted(ticket, message.turn, checked, by="big", policy=policy, calls=calls, reasons=reasons)
        else:
            reasons += tuple(f"big:{reason}" for reason in checked.decision.reasons)
            outcome = review(ticket, message.turn, policy, calls, reasons, self._label_count)
        return (outcome, *asked.alerts, *checked.alerts)

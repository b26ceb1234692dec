"""classify: asks the cheap model about a ticket, unless the policy sends it straight to the big one."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import Alert, Classification, Escalation, Review, Ticket
from streams.agents.guards import Escalates
from streams.agents.model import Ask
from streams.agents.outcomes import review
from streams.core.guards.availability import OutageMode, is_unanswered
from streams.core.policy.policy import Policy, skips_cheap
from streams.core.policy.reasons import DecisionReason


class ClassifyHandler:
    """Ticket -> Classification, or Escalation if the policy goes straight to the big tier, with the guards' alerts.

    With ``outage="review"`` a ticket that the cheap model does not answer at all is a Review. A straight ticket counts as
    an escalation: beyond the hour's budget it becomes a Review, ordered by ``label_count``.
    """

    def __init__(
        self, ask: Ask, escalates: Escalates, policy: Policy, label_count: int, *, outage: OutageMode = "hold"
    ) -> None:
        self._ask = ask
        self._escalates = escalates
        self._policy = policy
        self._label_count = label_count
        self._outage = outage

    async def __call__(self, message: Ticket) -> Sequence[Classification | Escalation | Review | Alert]:
        """Handle one ticket."""
        if skips_cheap(self._policy, message.text):
            return self._straight(message)
        asked = await self._ask(message.text)
        if self._outage == "review" and is_unanswered(asked.call):
            calls, reasons = (asked.call,), (DecisionReason.OUTAGE,)
            return (review(message, self._policy, calls, reasons, self._label_count), *asked.alerts)
        return (Classification(ticket=message, call=asked.call), *asked.alerts)

    def _straight(self, ticket: Ticket) -> Sequence[Escalation | Review | Alert]:
        allowed, alerts = self._escalates()
        if not allowed:
            reasons = (DecisionReason.STRAIGHT_TO_BIG, DecisionReason.ESCALATION_BUDGET)
            return (review(ticket, self._policy, (), reasons, self._label_count), *alerts)
        return (
            Escalation(ticket=ticket, reasons=(DecisionReason.STRAIGHT_TO_BIG,), policy_id=self._policy.id),
            *alerts,
        )

"""classify: asks the cheap model about a ticket, unless the policy sends it straight to the big one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas import Alert, Classification, Escalation, Review, Ticket, Turn
from streams.agents.arrival import Arrival
from streams.agents.guards import Escalates
from streams.agents.model import Ask, Asked
from streams.agents.outcomes import escalation, review
from streams.core.guards.availability import OutageMode, is_unanswered
from streams.core.policy.policy import Policy, skips_cheap
from streams.core.policy.reasons import DecisionReason


class ClassifyHandler:
    """Ticket -> Classification, or Escalation if the policy goes straight to the big tier, with the guards' alerts.

    With ``outage="review"`` a ticket that the cheap model does not answer at all is a Review. A straight ticket counts as
    an escalation: beyond the hour's budget it becomes a Review, ordered by ``label_count``. ``paid`` returns a call that was
    made and paid for already, if there is one.
    """

    def __init__(
        self,
        ask: Ask,
        escalates: Escalates,
        policy: Policy,
        label_count: int,
        *,
        outage: OutageMode = "hold",
        paid: Callable[[Ticket, Turn], Asked | None] = lambda _ticket, _turn: None,
    ) -> None:
        self._ask = ask
        self._escalates = escalates
        self._policy = policy
        self._label_count = label_count
        self._outage = outage
        self._paid = paid

    async def __call__(self, message: Arrival) -> Sequence[Classification | Escalation | Review | Alert]:
        """Handle one ticket."""
        if skips_cheap(self._policy, message.ticket.text):
            return await self._straight(message)
        asked = self._paid(message.ticket, message.turn) or await self._ask(message.ticket)
        if self._outage == "review" and is_unanswered(asked.call):
            calls, reasons = (asked.call,), (DecisionReason.OUTAGE,)
            return (
                review(message.ticket, message.turn, self._policy, calls, reasons, self._label_count),
                *asked.alerts,
            )
        turn = message.turn
        classified = Classification(
            ticket=message.ticket,
            call=asked.call,
            ticket_at_ms=turn.ticket_at_ms,
            revision=turn.revision,
            run=turn.run,
        )
        return (classified, *asked.alerts)

    async def _straight(self, message: Arrival) -> Sequence[Escalation | Review | Alert]:
        allowed, alerts = await self._escalates()
        if not allowed:
            reasons = (DecisionReason.STRAIGHT_TO_BIG, DecisionReason.ESCALATION_BUDGET)
            return (review(message.ticket, message.turn, self._policy, (), reasons, self._label_count), *alerts)
        reason = DecisionReason.STRAIGHT_TO_BIG
        return (escalation(message.ticket, message.turn, self._policy, None, (reason,)), *alerts)

"""Tier zero: labelled tickets that are nearly the same answer before any model is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas import Alert, Call, Classification, Escalation, Review, Routed, Ticket
from streams.agents.arrival import Arrival
from streams.agents.classify import ClassifyHandler
from streams.agents.outcomes import audited, known
from streams.agents.tier_model import Recall
from streams.core.memory.recall import Recalled
from streams.core.policy.policy import Policy, decide_memory

_KEPT = 10_000
"""Look-ups that may wait for their model's call; more than a worker has in flight."""


class RecalledOnce:
    """The memory's word on a ticket, looked up once: for tier zero, and right after it for the model's prompt."""

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._kept: dict[tuple[str, str], Recalled] = {}

    async def look_up(self, ticket: Ticket) -> Recalled:
        """Return what the memory says, and keep it for the prompt."""
        found = await self._recall(ticket, None)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[ticket.ticket_id, ticket.text] = found
        return found

    async def __call__(self, ticket: Ticket, before: Call | None = None) -> Recalled:
        """Return what was kept of the ticket, or look it up."""
        kept = self._kept.pop((ticket.ticket_id, ticket.text), None)
        return await self._recall(ticket, before) if kept is None else kept

    def forget(self, ticket: Ticket) -> None:
        """Keep nothing of a ticket that no model is asked about."""
        self._kept.pop((ticket.ticket_id, ticket.text), None)


class TierZeroHandler:
    """Ticket -> Routed if labelled tickets answer it, or Review if that answer is drawn for audit.

    Every other ticket is ``classify``'s, whose model is to recall through ``recall`` too.
    """

    def __init__(
        self, classify: ClassifyHandler, recall: RecalledOnce, policy: Policy, now_ms: Callable[[], int]
    ) -> None:
        self._classify = classify
        self._recall = recall
        self._policy = policy
        self._now_ms = now_ms

    async def __call__(self, message: Arrival) -> Sequence[Classification | Escalation | Review | Routed | Alert]:
        """Handle one ticket; raises Hold while the memory cannot say anything."""
        ticket, policy = message.ticket, self._policy
        recalled = await self._recall.look_up(ticket)
        answer = decide_memory(policy, ticket.ticket_id, [near.neighbour for near in recalled.neighbours])
        if answer is None:
            return await self._classify(message)
        self._recall.forget(ticket)
        if answer.decision.action == "accept":
            return (known(ticket, message.turn, answer, policy, self._now_ms()),)
        return (audited(ticket, message.turn, answer, policy),)

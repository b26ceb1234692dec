"""What a policy would have done with recorded answers: the workers' own rules, without a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from schemas import total_usd
from streams.core.calibration.records import Record
from streams.core.policy.policy import Policy, decide_big, decide_cheap, decide_memory, skips_cheap

End = Literal["memory", "cheap", "big", "review"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where one record's ticket ends. ``confidence`` is the deciding tier's, calibrated; None in review."""

    record: Record
    end: End
    label: str | None
    confidence: float | None
    escalated: bool
    """Whether the big tier was asked."""
    cost_usd: float | None
    """Of the calls that this policy pays; None if the cost of one is unknown."""

    @property
    def accepted(self) -> bool:
        """Whether a label went out without a reviewer."""
        return self.end != "review"

    @property
    def right(self) -> bool | None:
        """Whether the accepted label is the gold one; None in review and without a gold label."""
        return None if self.label is None or self.record.gold is None else self.label == self.record.gold


def replay(policy: Policy, records: Sequence[Record]) -> list[Outcome]:
    """Return the outcome of every record under the policy, as the agents classify, score and escalate decide."""
    return [_outcome(policy, record) for record in records]


def _outcome(policy: Policy, record: Record) -> Outcome:
    cheap, big = record.cheap, record.big
    known = decide_memory(policy, record.ticket.ticket_id, record.near)
    if known is not None and known.decision.action == "accept":
        return Outcome(record, "memory", known.label, known.decision.confidence, escalated=False, cost_usd=0.0)
    if known is not None:
        return Outcome(record, "review", None, None, escalated=False, cost_usd=0.0)
    paid: float | None = 0.0
    cheap_label = None
    if not skips_cheap(policy, record.ticket.text):
        paid, cheap_label = cheap.cost_usd, cheap.signal.label
        decision = decide_cheap(policy, record.ticket.ticket_id, cheap)
        if decision.action == "accept":
            return Outcome(record, "cheap", cheap.signal.label, decision.confidence, escalated=False, cost_usd=paid)
        if decision.action == "review":
            return Outcome(record, "review", None, None, escalated=False, cost_usd=paid)
    paid = total_usd((paid, big.cost_usd))
    decision = decide_big(policy, cheap_label, big)
    if decision.action == "accept":
        return Outcome(record, "big", big.signal.label, decision.confidence, escalated=True, cost_usd=paid)
    return Outcome(record, "review", None, None, escalated=True, cost_usd=paid)

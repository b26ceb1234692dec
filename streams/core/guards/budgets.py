"""What an hour may use up: escalations, and money."""

from __future__ import annotations

from streams.core.guards.finding import AlertKind, Bell, Finding
from streams.core.guards.hourly_total import HourlyTotal


class EscalationBudget:
    """A number of escalations an hour; tickets beyond it go to a reviewer instead, or wait if ``waits``."""

    def __init__(self, most: int, remind_s: float, *, waits: bool = False) -> None:
        self.waits = waits
        self._most = most
        self._hour = HourlyTotal()
        self._bell = Bell(remind_s)

    def is_used_up(self, now: float) -> bool:
        """Return whether no escalation is left at ``now`` (seconds)."""
        return self._hour.total(now) >= self._most

    def take(self, now: float) -> tuple[bool, tuple[Finding, ...]]:
        """Return whether one more escalation is allowed at ``now`` (seconds), counting it if so, and the findings."""
        if not self.is_used_up(now):
            self._hour.add(1, now)
            return True, ()
        if not self._bell.pull("escalations", now):
            return False, ()
        effect = "wait" if self.waits else "go to a reviewer instead"
        summary = f"the {self._most} escalations of this hour are used up: tickets {effect}"
        details = {"max_escalations_per_hour": self._most}
        return False, (Finding(AlertKind.ESCALATION_BUDGET, "escalations", summary, details),)


class SpendBudget:
    """An amount of money an hour; once it is spent, the big model is not asked. Calls in flight may exceed it."""

    def __init__(self, most_usd: float, remind_s: float, *, waits: bool = False) -> None:
        self._waits = waits
        self._most_usd = most_usd
        self._hour = HourlyTotal()
        self._bell = Bell(remind_s)

    def spend(self, cost_usd: float | None, now: float) -> None:
        """Count what a call cost, USD; None, an unknown cost, cannot be counted."""
        if cost_usd is not None:
            self._hour.add(cost_usd, now)

    def is_used_up(self, now: float) -> bool:
        """Return whether no money is left at ``now`` (seconds)."""
        return self._hour.total(now) >= self._most_usd

    def allows(self, now: float) -> tuple[bool, tuple[Finding, ...]]:
        """Return whether money is left at ``now`` (seconds), and the findings."""
        spent = self._hour.total(now)
        if not self.is_used_up(now):
            return True, ()
        if not self._bell.pull("spend", now):
            return False, ()
        effect = "tickets wait" if self._waits else "the big model is not asked"
        summary = f"${spent:.4f} was spent within an hour, of ${self._most_usd:g} allowed: {effect}"
        details = {"max_usd_per_hour": self._most_usd, "spent_usd": spent}
        return False, (Finding(AlertKind.SPEND_BUDGET, "spend", summary, details),)

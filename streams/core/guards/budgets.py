"""What an hour, a day or a month may use up: what is said once it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streams.core.guards.finding import AlertKind, Bell, Finding

#: Money is counted in whole billionths of a US dollar.
UNITS_PER_USD: Final = 1_000_000_000


def usd(units: int) -> float:
    """Return an amount of money in USD."""
    return units / UNITS_PER_USD


def units(cost_usd: float) -> int:
    """Return an amount of USD in whole billionths."""
    return round(cost_usd * UNITS_PER_USD)


class EscalationBudget:
    """A number of escalations; tickets beyond it go to a reviewer instead, or wait if ``waits``.

    ``take`` counts one more escalation and returns True, or returns False if none is left.
    """

    def __init__(self, most: int, remind_s: float, take: Callable[[], bool], *, waits: bool = False) -> None:
        self.waits = waits
        self._most = most
        self._take = take
        self._bell = Bell(remind_s)

    def take(self, now: float) -> tuple[bool, tuple[Finding, ...]]:
        """Return whether one more escalation is allowed at ``now`` (seconds), counting it if so, and the findings."""
        if self._take():
            return True, ()
        if not self._bell.pull("escalations", now):
            return False, ()
        effect = "wait" if self.waits else "go to a reviewer instead"
        summary = f"the {self._most} escalations of this hour are used up: tickets {effect}"
        details = {"max_escalations_per_hour": self._most}
        return False, (Finding(AlertKind.ESCALATION_BUDGET, "escalations", summary, details),)


class SpendBudget:
    """The money that models may cost; what is said once it is spent."""

    def __init__(self, limits: dict[str, float], remind_s: float, *, waits: bool = False) -> None:
        self._waits = waits
        self._limits = limits
        self._bell = Bell(remind_s)

    def is_spent(self, spent_usd: float, now: float) -> tuple[Finding, ...]:
        """Take that no money is left at ``now`` (seconds), of which ``spent_usd`` went within the hour; return the findings."""
        if not self._bell.pull("spend", now):
            return ()
        effect = "tickets wait" if self._waits else "no model is asked"
        allowed = ", ".join(f"${most:g} {name.removeprefix('max_usd_per_')}" for name, most in self._limits.items())
        summary = f"${spent_usd:.4f} was spent within an hour, with {allowed} allowed: {effect}"
        return (Finding(AlertKind.SPEND_BUDGET, "spend", summary, {**self._limits, "spent_usd": spent_usd}),)


class CostEstimate:
    """What a call about a text will cost at most, from what calls have cost so far, USD.

    A prompt is longer than its ticket by about as much each time, so cost is taken to grow with the ticket's length and
    a constant; the dearest of the last calls sets the rate. Until a call has come back it is ``first_usd``.
    """

    _CALLS = 200
    _PROMPT_CHARS = 1_000

    def __init__(self, first_usd: float = 0.0) -> None:
        self._first_usd = first_usd
        self._rates: list[float] = []

    def of(self, chars: int) -> float:
        """Return the estimate for a text of ``chars`` characters."""
        if not self._rates:
            return self._first_usd
        return max(self._rates) * (chars + self._PROMPT_CHARS)

    def learn(self, chars: int, cost_usd: float) -> None:
        """Take what a call cost."""
        self._rates = [*self._rates[1 - self._CALLS :], cost_usd / (chars + self._PROMPT_CHARS)]

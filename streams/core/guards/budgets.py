"""What an hour, a day or a month may use up: what is said once it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from schemas import Attempt
from streams.core.guards.finding import AlertKind, Bell, Finding

#: Money is counted in whole billionths of a US dollar.
UNITS_PER_USD: Final = 1_000_000_000
_EACH: Final = {"max_usd_per_hour": "an hour", "max_usd_per_day": "a day", "max_usd_per_month": "a month"}


def usd(units: int) -> float:
    """Return an amount of money in USD."""
    return units / UNITS_PER_USD


def units(cost_usd: float) -> int:
    """Return an amount of USD in whole billionths."""
    return round(cost_usd * UNITS_PER_USD)


#: What an attempt was that a provider may have charged for, though what came back does not say what it cost.
_MAY_BE_CHARGED: Final = frozenset({"timeout", "deadline", "cut_off", "body_too_long"})


def booked_usd(attempts: Iterable[Attempt], estimate_usd: float) -> float:
    """Return what a call counts as against a limit, USD: what each attempt is known to have cost, or the estimate.

    The estimate counts for an attempt that was sent and cut off, or not answered in time, and for an answer that neither has a
    signal nor says its tokens. One that was refused with a status, or never reached the endpoint, counts 0.
    """
    return sum(_booked(attempt, estimate_usd) for attempt in attempts)


def lost(attempts: Iterable[Attempt]) -> int:
    """Return how many attempts count as the estimate."""
    return sum(map(_is_lost, attempts))


def _booked(attempt: Attempt, estimate_usd: float) -> float:
    known_usd = attempt.cost_usd or 0.0
    return max(estimate_usd, known_usd) if _is_lost(attempt) else known_usd


def _is_lost(attempt: Attempt) -> bool:
    is_garbage = attempt.outcome == "unscorable" and attempt.estimated
    return attempt.cost_usd is None or is_garbage or attempt.outcome in _MAY_BE_CHARGED


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
        allowed = " and ".join(f"${most:g} {_EACH[name]}" for name, most in self._limits.items())
        summary = f"the money is spent: ${spent_usd:.4f} within the last hour, at most {allowed}; {effect}"
        return (Finding(AlertKind.SPEND_BUDGET, "spend", summary, {**self._limits, "spent_usd": spent_usd}),)


class CostEstimate:
    """What a call about a text will cost at most, from what calls have cost so far, USD.

    A prompt is longer than its ticket by about as much each time, so cost is taken to grow with the ticket's length and
    a constant; the dearest of the last calls sets the rate. Until a call has come back it is ``first_usd``. ``of`` is what one
    attempt costs, ``of_all`` what as many cost as one of the last calls may have had to pay for.
    """

    _CALLS = 200
    _PROMPT_CHARS = 1_000

    def __init__(self, first_usd: float = 0.0) -> None:
        self._first_usd = first_usd
        self._rates: list[float] = []
        self._attempts: list[int] = []

    def of_all(self, chars: int) -> float:
        """Return the estimate for a text of ``chars`` characters, its further attempts included."""
        return self.of(chars) * max(self._attempts, default=1)

    def of(self, chars: int) -> float:
        """Return the estimate for a text of ``chars`` characters."""
        if not self._rates:
            return self._first_usd
        return max(self._rates) * (chars + self._PROMPT_CHARS)

    def learn(self, chars: int, cost_usd: float, lost: int = 0) -> None:
        """Take what a call is known to have cost, and how many of its attempts were ``lost``."""
        if cost_usd:
            self._rates = [*self._rates[1 - self._CALLS :], cost_usd / (chars + self._PROMPT_CHARS)]
        self._attempts = [*self._attempts[1 - self._CALLS :], max(1, lost + (cost_usd > 0))]

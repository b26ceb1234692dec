"""The guards of one worker process with their clocks, and their findings as alerts to send.

A handler hands its findings on as messages, like all its outputs. Every process guards what it sees
itself, so two workers may each raise the same alert.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from schemas import MAX_NAME, Alert, Call, Reason, Ticket, Tier, stable_id
from streams.agents.limit import LOOK_EVERY_S, Limit
from streams.agents.model import Asked, Model
from streams.core.guards import (
    DecisionGuard,
    EndpointGuard,
    EscalationBudget,
    Finding,
    GuardLimits,
    Permit,
    SpendBudget,
)
from streams.core.guards.contract import Contracts, Terms
from streams.core.guards.written_exception import WrittenException
from streams.core.policy.policy import Action, Decision

_HELD_BACK = "not asked: the endpoint broke its contract, and its breaker is open"
_SPENT = "not asked: the money for this hour is spent"


def day_of(at_ms: int) -> date:
    """Return the day of a Unix time in milliseconds, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


@dataclass(frozen=True, slots=True)
class Clock:
    """The time as the guards need it: ``now`` in seconds that never go back, ``wall_ms`` since 1970."""

    now: Callable[[], float]
    wall_ms: Callable[[], int]

    def today(self) -> date:
        """Return the day, UTC."""
        return day_of(self.wall_ms())

    def alerts(self, findings: Iterable[Finding]) -> tuple[Alert, ...]:
        """Return the findings as messages of this moment."""
        return tuple(self._alert(finding) for finding in findings)

    def _alert(self, finding: Finding) -> Alert:
        at_ms, source = self.wall_ms(), finding.source[:MAX_NAME]
        return Alert(
            alert_id=stable_id("alert", source, finding.kind, str(at_ms), finding.summary),
            source=source,
            kind=finding.kind,
            at_ms=at_ms,
            summary=finding.summary,
            details=finding.details,
        )


@dataclass(frozen=True, slots=True)
class Aside:
    """What takes the things that belong to no ticket: an alert to send at once, and the call of a trial."""

    tell: Callable[[Alert], None] = lambda _: None
    tried: Callable[[Call], None] = lambda _: None

    def tell_all(self, alerts: Iterable[Alert]) -> None:
        """Send alerts at once."""
        for alert in alerts:
            self.tell(alert)


class GuardedModel:
    """One tier's model behind its guards, which may keep a call from it.

    ``contract`` is its breaker as a limit, ``spend`` the hour's money, ``aside`` where trials and their alerts go. With
    ``waits`` a ticket that is not asked about is held until the limit is over; trials with a fixed text find that out.
    """

    def __init__(
        self,
        model: Model,
        endpoint: EndpointGuard,
        spend: tuple[SpendBudget, Limit] | None,
        clock: Clock,
        aside: Aside,
        *,
        capped: bool,
        waits: bool,
    ) -> None:
        self.contract = Limit(f"contract:{model.tier}", lambda: endpoint.is_open, self._try_out)
        self._aside = aside
        self._waits = waits
        self._model = model
        self._endpoint = endpoint
        self._spend = spend
        self._clock = clock
        self._capped = capped

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Asked:
        """Return the call, or one that was never made and says why, with the alerts.

        Raises Hold if tickets wait at a limit; the same task is to ask again after it.
        """
        clock, spend = self._clock, self._spend
        if self._capped and spend is not None:
            budget, limit = spend
            allowed, findings = budget.allows(clock.now())
            if not allowed and self._waits:
                self._aside.tell_all(clock.alerts(findings))
                raise limit.hold()
            if not allowed:
                return Asked(self._model.unasked(Reason.OVER_BUDGET, _SPENT), clock.alerts(findings))
        if self._waits and self._endpoint.is_open:
            raise self.contract.hold()
        permit = self._endpoint.permit(clock.now())
        if permit is Permit.REFUSED:
            return Asked(self._model.unasked(Reason.BREAKER_OPEN, _HELD_BACK))
        call = await self._model.ask(ticket, before)
        if spend is not None:
            spend[0].spend(call.cost_usd, clock.now())
        return Asked(call, clock.alerts(self._endpoint.observe(call, permit, clock.now(), clock.today())))

    async def _try_out(self) -> None:
        """Send a trial if one is due, or wait a moment."""
        clock = self._clock
        permit = self._endpoint.permit(clock.now())
        if permit is Permit.REFUSED:
            await asyncio.sleep(LOOK_EVERY_S)
            return
        call = await self._model.try_out()
        self._aside.tried(call)
        self._aside.tell_all(clock.alerts(self._endpoint.observe(call, permit, clock.now(), clock.today())))


@dataclass(frozen=True, slots=True)
class Checked:
    """A decision as it stands after the guard: the exception that it rests on (if any), when, and the alerts."""

    decision: Decision
    exception: WrittenException | None = None
    on: date = date.min
    """The day, UTC."""
    at_ms: int = 0
    """Unix time, milliseconds."""
    alerts: tuple[Alert, ...] = ()


#: What a handler has a decision checked with: ``Decisions.check``.
Check = Callable[[Decision, Call], Checked]
#: Asks for one more escalation: whether it is allowed, and the alerts; ``Guards.escalates``.
Escalates = Callable[[], tuple[bool, tuple[Alert, ...]]]


class Decisions:
    """The guard on one tier's decisions."""

    def __init__(self, guard: DecisionGuard, clock: Clock, escalations: Limit | None, aside: Aside) -> None:
        self._escalations = escalations
        self._aside = aside
        self._guard = guard
        self._clock = clock

    def check(self, decision: Decision, call: Call) -> Checked:
        """Return what stands of the policy's decision on this call; raises Hold if tickets wait for the next hour."""
        at_ms = self._clock.wall_ms()
        on = day_of(at_ms)
        judged = self._guard.judge(decision, call, self._clock.now(), on)
        if judged.waits and self._escalations is not None:
            self._aside.tell_all(self._clock.alerts(judged.findings))
            raise self._escalations.hold()
        return Checked(judged.decision, judged.exception, on, at_ms, self._clock.alerts(judged.findings))


class Guards:
    """Everything that one worker process guards with. Its agents share the two budgets.

    ``limits`` has every limit that there is, whether or not tickets wait at it.
    """

    def __init__(
        self,
        contracts: Contracts | None,
        limits: GuardLimits,
        max_escalations_per_hour: int | None,
        clock: Clock,
        aside: Aside | None = None,
    ) -> None:
        self.limits: list[Limit] = []
        self._aside = aside or Aside()
        self._waits = limits.on_limit == "hold"
        self._contracts = contracts
        self._limits = limits
        self._clock = clock
        most_usd = limits.max_usd_per_hour
        self._spend: tuple[SpendBudget, Limit] | None = None
        self._escalations: tuple[EscalationBudget, Limit] | None = None
        if most_usd is not None:
            money = SpendBudget(most_usd, limits.remind_s, waits=self._waits)
            self._spend = money, self._limit("spend", lambda: money.is_used_up(clock.now()))
        if max_escalations_per_hour is not None:
            number = EscalationBudget(max_escalations_per_hour, limits.remind_s, waits=self._waits)
            self._escalations = number, self._limit("escalations", lambda: number.is_used_up(clock.now()))

    def guarded(self, model: Model) -> GuardedModel:
        """Return a tier's model behind the guards of its endpoint; a spent budget keeps calls from the big tier only."""
        tier, name = model.tier, model.model_asked
        guard = EndpointGuard(tier, name, self._terms(tier, name), self._limits, self._exceptions(tier, name))
        guarded = GuardedModel(
            model, guard, self._spend, self._clock, self._aside, capped=tier == "big", waits=self._waits
        )
        self.limits.append(guarded.contract)
        return guarded

    def spent(self, cost_usd: float | None) -> None:
        """Count what a request cost that no guarded model made, USD: a trial, or an embedding."""
        if self._spend is not None:
            self._spend[0].spend(cost_usd, self._clock.now())

    def escalates(self) -> tuple[bool, tuple[Alert, ...]]:
        """Return whether one more ticket may go straight to the big tier, counting it if so, and the alerts.

        Raises Hold instead of a no if tickets wait for the next hour.
        """
        if self._escalations is None:
            return True, ()
        budget, limit = self._escalations
        allowed, findings = budget.take(self._clock.now())
        if not allowed and self._waits:
            self._aside.tell_all(self._clock.alerts(findings))
            raise limit.hold()
        return allowed, self._clock.alerts(findings)

    def decisions(self, tier: Tier, model: str) -> Decisions:
        """Return the guard on decisions about one tier's answers."""
        otherwise: Action = "escalate" if tier == "cheap" else "review"
        budget, limit = self._escalations or (None, None)
        guard = DecisionGuard(otherwise, self._terms(tier, model), self._limits, self._exceptions(tier, model), budget)
        return Decisions(guard, self._clock, limit, self._aside)

    def _limit(self, name: str, reached: Callable[[], bool]) -> Limit:
        limit = Limit(name, reached)
        self.limits.append(limit)
        return limit

    def _terms(self, tier: Tier, model: str) -> Terms:
        contract = None if self._contracts is None else self._contracts.contract(tier, model)
        return contract or Terms()

    def _exceptions(self, tier: Tier, model: str) -> tuple[WrittenException, ...]:
        return () if self._contracts is None else self._contracts.exceptions_of(tier, model)

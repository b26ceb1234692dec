"""The guards of one worker process with their clocks, and their findings as alerts to send.

A handler hands its findings on as messages, like all its outputs. Budgets, breakers, and the rates that are judged are those of
all workers together, through what the ``member`` of the fleet knows of the others. A process leaves out alerts that another one has
told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from schemas import Alert, Call, Reason, Ticket, Tier
from schemas.fleet import EndpointState
from streams.agents.limit import LOOK_EVERY_S, Limit
from streams.agents.model import Asked, HeldCall, Model
from streams.agents.purse import Announce, Purse, Taken
from streams.agents.turns import Turns
from streams.aio import this_task
from streams.core.fleet import Caps, Member, Period, Thing
from streams.core.fleet.others import Others
from streams.core.guards import (
    CostEstimate,
    DecisionGuard,
    EndpointGuard,
    EscalationBudget,
    Finding,
    GuardLimits,
    Permit,
    SpendBudget,
)
from streams.core.guards.alert_book import AlertBook
from streams.core.guards.budgets import booked_usd, lost, units, usd
from streams.core.guards.contract import Contracts, Terms
from streams.core.guards.endpoint_guard import source_of
from streams.core.guards.escalation_share import SOURCE as SHARE_SOURCE
from streams.core.guards.escalation_share import ShareWatch
from streams.core.guards.written_exception import WrittenException
from streams.core.policy.policy import Action, Decision
from streams.errors import Hold, StopWorker

_HELD_BACK = "not asked: the endpoint broke its contract, and its breaker is open"
_SPENT = "not asked: the money is spent"
P = TypeVar("P")
#: Until a call has come back, none is taken to cost more than this share of the smallest limit.
_FIRST_SHARE = 0.05


def day_of(at_ms: int) -> date:
    """Return the day of a Unix time in milliseconds, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


@dataclass(frozen=True, slots=True)
class Clock:
    """The time as the guards need it: ``now`` in seconds that never go back, ``wall_ms`` since 1970.

    ``book`` knows what was told, by this worker and by others.
    """

    now: Callable[[], float]
    wall_ms: Callable[[], int]
    book: AlertBook = field(default_factory=AlertBook)

    def today(self) -> date:
        """Return the day, UTC."""
        return day_of(self.wall_ms())

    def has_recovered_since(self, source: str, since: float) -> bool:
        """Return whether a worker has told the end of an outage of this source since then (seconds, as ``now``)."""
        return self.book.has_recovered_since(source, self.wall_ms() - round((self.now() - since) * 1000))

    def alerts(self, findings: Iterable[Finding]) -> tuple[Alert, ...]:
        """Return the findings as messages of this moment, without those that were told already."""
        made = [self.book.alert(finding, self.wall_ms()) for finding in findings]
        return tuple(alert for alert in made if alert is not None)


@dataclass(frozen=True, slots=True)
class Aside:
    """What takes the things that belong to no ticket: an alert to send at once, and the call of a trial."""

    tell: Callable[[Alert], None] = lambda _: None
    tried: Callable[[Call], None] = lambda _: None

    def tell_all(self, alerts: Iterable[Alert]) -> None:
        """Send alerts at once."""
        for alert in alerts:
            self.tell(alert)


class Money:
    """What models may cost: the purse, the limit at which tickets wait, and what is said once all is spent."""

    def __init__(self, budget: SpendBudget, purse: Purse, limit: Limit, smallest_usd: float, clock: Clock) -> None:
        self.purse = purse
        self.limit = limit
        self._most_first_usd = _FIRST_SHARE * smallest_usd
        self._estimates: dict[Tier, CostEstimate] = {}
        self._budget = budget
        self._clock = clock

    async def paid(
        self, tier: Tier, first_usd: float, chars: int, ask: Callable[[], Awaitable[P]], call_in: Callable[[P], Call]
    ) -> P | None:
        """Return what ``ask`` returns, or None if what it may cost is not left; what it cost is counted.

        It is about a text of ``chars`` characters, and costs ``first_usd`` at most until a call of this tier has come back.
        An attempt that may have been paid, though nobody can know what it cost, counts as the estimate. Raises Hold while the
        other workers cannot be told.
        """
        estimate = self._estimates.setdefault(tier, CostEstimate(min(first_usd, self._most_first_usd)))
        amount = max(1, units(estimate.of_all(chars)))
        taken = self.purse.take(amount) if await self.purse.ensure(amount) else None
        if taken is None:
            return None
        try:
            asked = await ask()
        except HeldCall as held:
            self._settle(taken, held.call, estimate, chars)
            raise
        except Exception:  # it was refused; what was cancelled may have been paid
            self.purse.settle(taken, 0)
            raise
        self._settle(taken, call_in(asked), estimate, chars)
        return asked

    def _settle(self, taken: Taken, call: Call, estimate: CostEstimate, chars: int) -> None:
        attempts = call.all_attempts
        self.purse.settle(taken, units(booked_usd(attempts, estimate.of(chars))))
        estimate.learn(chars, call.cost_usd or 0.0, lost(attempts))

    def spent(self) -> tuple[Alert, ...]:
        """Return what is to be said, now that no money is left."""
        clock = self._clock
        return clock.alerts(self._budget.is_spent(usd(self.purse.used()), clock.now()))


class GuardedModel:
    """One tier's model behind its guards, which may keep a call from it.

    ``contract`` is its breaker as a limit, ``aside`` where trials and their alerts go. With ``waits`` a ticket that is not asked
    about is held until the limit is over, and then goes on in ``turns``; trials with a fixed text find that out. What a call
    will cost at most is taken out of ``money`` before it is made: ``first_usd`` until one has come back, then an estimate.
    Without ``money`` there is no limit, and ``count`` is called with each call that was made.
    """

    def __init__(
        self,
        model: Model,
        endpoint: EndpointGuard,
        money: Money | None,
        clock: Clock,
        aside: Aside,
        *,
        first_usd: float,
        waits: bool,
        count: Callable[[Call], None],
        turns: Turns | None = None,
        is_down: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_down = is_down
        self._count = count
        self.contract = Limit(f"contract:{model.tier}", lambda: endpoint.is_open, self._try_out, turns=turns)
        self._aside = aside
        self._waits = waits
        self._model = model
        self._endpoint = endpoint
        self._money = money
        self._first_usd = first_usd
        self._clock = clock
        self._last_ms = 0
        self.source = endpoint.source

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open."""
        return self._endpoint.is_open

    @property
    def others(self) -> Others:
        """What the guards of other workers say now."""
        return self._endpoint.others

    def state(self) -> EndpointState:
        """Return what to tell the other workers."""
        return self._endpoint.state(self._last_ms, down=self._is_down())

    async def follow(self) -> None:
        """Open and close the breaker with the other workers, and make trials if they are this one's to make, until cancelled.

        So trials are made though the tickets of this worker are few, or wait for nothing. One that is alone and lets no ticket
        wait has tickets for trials.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            clock, endpoint = self._clock, self._endpoint
            self._aside.tell_all(clock.alerts(endpoint.follow(clock.now())))
            if endpoint.is_open and (self._waits or endpoint.others.are_there):
                await self._try_if_due()

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Asked:
        """Return the call, or one that was never made and says why, with the alerts.

        Raises Hold if tickets wait at a limit; the same task is to ask again after it.
        """
        money = self._money
        if money is None:
            free = await self._ask(ticket, before)
            self._count(free.call)
            return free
        asked = await money.paid(
            self._model.tier,
            self._first_usd,
            len(ticket.text),
            partial(self._ask, ticket, before),
            lambda asked: asked.call,
        )
        if asked is not None:
            return asked
        alerts = money.spent()
        if not self._waits:
            return Asked(self._model.unasked(Reason.OVER_BUDGET, _SPENT), alerts)
        self._aside.tell_all(alerts)
        raise money.limit.hold()

    async def _ask(self, ticket: Ticket, before: Call | None) -> Asked:
        clock = self._clock
        if self._waits and self._endpoint.is_open:
            raise self.contract.hold()
        permit = self._endpoint.permit(clock.now())
        if permit is Permit.REFUSED:
            return Asked(self._model.unasked(Reason.BREAKER_OPEN, _HELD_BACK))
        call = await self._model.ask(ticket, before)
        return Asked(call, self._observed(call, permit))

    async def _try_out(self) -> None:
        """Send a trial if one is due, or wait a moment."""
        if not await self._try_if_due():
            await asyncio.sleep(LOOK_EVERY_S)

    async def _try_if_due(self) -> bool:
        permit = self._endpoint.permit(self._clock.now())
        if permit is Permit.REFUSED:
            return False
        try:
            call = await self._model.try_out()
        except Hold:  # what it may cost cannot be leased from the others now
            return False
        self._aside.tried(call)
        self._aside.tell_all(self._observed(call, permit))
        return True

    def _observed(self, call: Call, permit: Permit) -> tuple[Alert, ...]:
        clock = self._clock
        self._last_ms = clock.wall_ms()
        return clock.alerts(self._endpoint.observe(call, permit, clock.now(), day_of(self._last_ms)))


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
Escalates = Callable[[], Awaitable[tuple[bool, tuple[Alert, ...]]]]


class Decisions:
    """The guard on one tier's decisions."""

    def __init__(self, guard: DecisionGuard, clock: Clock, escalations: Limit | None, aside: Aside) -> None:
        self._escalations = escalations
        self._aside = aside
        self._guard = guard
        self._clock = clock
        self._held: WeakKeyDictionary[asyncio.Task[Any], Call] = WeakKeyDictionary()
        self.last_ms = 0
        """When the last decision was; Unix time."""

    def check(self, decision: Decision, call: Call) -> Checked:
        """Return what stands of the policy's decision on this call; raises Hold if tickets wait for the next hour."""
        at_ms = self.last_ms = self._clock.wall_ms()
        on = day_of(at_ms)
        again = bool(self._held) and self._held.pop(this_task(), None) is call
        judged = self._guard.judge(decision, call, self._clock.now(), on, again=again)
        if judged.waits and self._escalations is not None:
            self._held[this_task()] = call
            self._aside.tell_all(self._clock.alerts(judged.findings))
            raise self._escalations.hold()
        return Checked(judged.decision, judged.exception, on, at_ms, self._clock.alerts(judged.findings))


class Guards:
    """Everything that one worker process guards with. Its agents share the two budgets.

    ``limits`` has every limit that there is, whether or not tickets wait at it. ``member`` knows what other workers used and
    ``announce`` tells them what this one did; without them this worker is the only one. ``turns_of``
    returns what tickets for a tier go on by after a limit; without it they go on all at once.
    """

    def __init__(
        self,
        contracts: Contracts | None,
        limits: GuardLimits,
        max_escalations_per_hour: int | None,
        clock: Clock,
        aside: Aside | None = None,
        *,
        member: Member | None = None,
        announce: Announce | None = None,
        turns_of: Callable[[Tier], Turns | None] = lambda _: None,
    ) -> None:
        self.limits: list[Limit] = []
        self._guarded: dict[str, GuardedModel] = {}
        self._turns_of = turns_of
        self._aside = aside or Aside()
        self._waits = limits.on_limit == "hold"
        self._contracts = contracts
        self._limits = limits
        self._clock = clock
        self._money: Money | None = None
        self._escalations: tuple[EscalationBudget, Purse, Limit] | None = None
        member = member or Member(
            "alone", "alone", {"money": limits.money, "escalations": Caps(max_escalations_per_hour)}
        )
        self._member = member
        announce = announce or partial(_tell_nobody, member, clock)
        self._purse = purse = Purse("money", member, clock.wall_ms, announce)
        if limits.money:
            budget = SpendBudget(limits.max_usd, limits.remind_s, waits=self._waits)
            smallest = min(limits.max_usd.values())
            self._money = Money(budget, purse, self._limit("spend", purse.is_used_up), smallest, clock)
        if max_escalations_per_hour is not None:
            left = Purse("escalations", member, clock.wall_ms, announce)
            number = EscalationBudget(
                max_escalations_per_hour, limits.remind_s, lambda: left.take(1) is not None, waits=self._waits
            )
            self._escalations = number, left, self._limit("escalations", left.is_used_up)

    def others(self, tier: Tier, model: str) -> Others:
        """Return what the guards of a tier's endpoint in other workers say, once this one has a guard."""
        guarded = self._guarded.get(source_of(tier, model))
        return Others() if guarded is None else guarded.others

    def guarded(
        self, model: Model, *, first_usd: float = 0.0, is_down: Callable[[], bool] = lambda: False
    ) -> GuardedModel:
        """Return a tier's model behind the guards of its endpoint; its first calls cost ``first_usd`` at most each.

        ``is_down`` says whether the endpoint is taken to be unavailable, for the other workers.
        """
        tier, name = model.tier, model.model_asked
        source, window, member, clock = source_of(tier, name), self._limits.window, self._member, self._clock
        guard = EndpointGuard(
            tier,
            name,
            self._terms(tier, name),
            self._limits,
            self._exceptions(tier, name),
            lambda calls, turns: member.other_guards(source, window, calls, turns, clock.wall_ms()),
            clock.book.standing(source),
        )
        guarded = GuardedModel(
            model,
            guard,
            self._money,
            self._clock,
            self._aside,
            first_usd=first_usd,
            waits=self._waits,
            count=self._count,
            turns=self._turns_of(tier),
            is_down=is_down,
        )
        self.limits.append(guarded.contract)
        member.watch(source, guarded.state)
        self._guarded[source] = guarded
        return guarded

    async def follow(self, failed: Callable[[StopWorker], None]) -> None:
        """Act on what the other workers' guards of the same endpoints say; ``failed`` is called if a trial says to stop."""
        try:
            async with asyncio.TaskGroup() as following:
                for guarded in self._guarded.values():
                    following.create_task(guarded.follow())
        except* StopWorker as group:
            failed(group.exceptions[0])  # type: ignore[arg-type]  # all of them are, which the type does not say

    async def paid(self, tier: Tier, first_usd: float, chars: int, ask: Callable[[], Awaitable[Call]]) -> Call | None:
        """Return the call of a trial, or None if what it may cost is not left; see ``Money.paid``."""
        if self._money is None:
            call = await ask()
            self._count(call)
            return call
        return await self._money.paid(tier, first_usd, chars, ask, lambda call: call)

    def spent(self, cost_usd: float) -> None:
        """Count what a request counts as that no model was asked for, USD: an embedding."""
        if cost_usd:
            self._purse.settle(Taken(0, self._clock.wall_ms()), units(cost_usd))

    def _count(self, call: Call) -> None:
        """Count what is known of a call's cost though this worker has no limit: others may have one, or this one later."""
        self.spent(booked_usd(call.all_attempts, 0.0))

    def used_shares(self) -> dict[tuple[Thing, Period], Callable[[], float]]:
        """Return, for each limit that there is, what returns the share of it that all workers together have used."""
        wall_ms, member = self._clock.wall_ms, self._member
        return {
            (thing, period): lambda thing=thing, period=period: member.used_share(thing, period, wall_ms())  # type: ignore[misc]
            for thing, caps in member.caps.items()
            for period, _ in caps
        }

    async def may_escalate(self) -> None:
        """Wait until it is known whether there is an escalation left; raises Hold while the other workers cannot be told."""
        if self._escalations is not None:
            await self._escalations[1].ensure(1)

    async def escalates(self) -> tuple[bool, tuple[Alert, ...]]:
        """Return whether one more ticket may go straight to the big tier, counting it if so, and the alerts.

        Raises Hold instead of a no if tickets wait for the next hour.
        """
        if self._escalations is None:
            return True, ()
        await self.may_escalate()
        budget, _, limit = self._escalations
        allowed, findings = budget.take(self._clock.now())
        if not allowed and self._waits:
            self._aside.tell_all(self._clock.alerts(findings))
            raise limit.hold()
        return allowed, self._clock.alerts(findings)

    def decisions(self, tier: Tier, model: str) -> Decisions:
        """Return the guard on decisions about one tier's answers."""
        otherwise: Action = "escalate" if tier == "cheap" else "review"
        budget, _, limit = self._escalations or (None, None, None)
        share = self._share_watch() if tier == "cheap" else None
        guard = DecisionGuard(
            otherwise, self._terms(tier, model), self._limits, self._exceptions(tier, model), budget, share
        )
        decisions = Decisions(guard, self._clock, limit, self._aside)
        if share is not None:
            self._member.watch_share(lambda: share.state(decisions.last_ms, self._clock.wall_ms()))
        return decisions

    def _share_watch(self) -> ShareWatch:
        window, member, clock = self._limits.share_window, self._member, self._clock
        return ShareWatch(
            window,
            self._limits.remind_s,
            lambda calls: member.other_shares(window, calls, clock.wall_ms()),
            clock.book.standing(SHARE_SOURCE),
        )

    def _limit(self, name: str, reached: Callable[[], bool]) -> Limit:
        limit = Limit(name, reached, turns=self._turns_of("big"))  # both budgets keep tickets from the big tier
        self.limits.append(limit)
        return limit

    def _terms(self, tier: Tier, model: str) -> Terms:
        contract = None if self._contracts is None else self._contracts.contract(tier, model)
        return contract or Terms()

    def _exceptions(self, tier: Tier, model: str) -> tuple[WrittenException, ...]:
        return () if self._contracts is None else self._contracts.exceptions_of(tier, model)


async def _tell_nobody(member: Member, clock: Clock) -> None:
    """Announce to no other worker."""
    state = member.state(clock.wall_ms())
    member.said(state)
    member.update(state, clock.wall_ms())

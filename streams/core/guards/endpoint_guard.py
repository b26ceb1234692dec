"""Watches one endpoint's contract call by call: tells an outage from a change, and opens the breaker on a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

from schemas import MAX_NAME, Call, Reason, Tier
from schemas.fleet import EndpointState
from streams.core.fleet.others import Others
from streams.core.guards.alert_book import Standing
from streams.core.guards.breaker import Breaker, Permit
from streams.core.guards.contract import USES, Breach, BreachName, Observation, Terms, Use, compare, tells
from streams.core.guards.contract_change import Changes, Run, use_name
from streams.core.guards.finding import AlertKind, Bell, Finding
from streams.core.guards.limits import GuardLimits
from streams.core.guards.other_models import OtherModels
from streams.core.guards.outage import Outages
from streams.core.guards.rates import Rates
from streams.core.guards.written_exception import WrittenException

#: Returns what the other workers' guards of an endpoint say, given this one's calls in the window and its breaker's turns.
OtherGuards = Callable[[int, int], Others]


def source_of(tier: Tier, model: str) -> str:
    """Return what findings about a tier's endpoint have as their source."""
    return f"{tier}:{model}"[:MAX_NAME]


_NOBODY = Others()


def _no_others(_calls: int, _turns: int) -> Others:
    return _NOBODY


class EndpointGuard:
    """One endpoint's guard; ask ``permit`` before a call and give ``observe`` what came of it.

    *An outage* is breaches among answers that keep the contract. Over the last ``window`` calls, one kind of breach has
    a count that its earlier share would lead to less than once in a million. It raises an alert, and the endpoint
    is asked as before: what it answers well is worth having.

    *A changed contract* is a run without end: ``run`` or more breaches in a row, more than the earlier share would lead to
    once in a million, or a whole window. It raises an alert and, if answers cannot be accepted without what is
    broken, opens the breaker: nothing more is paid for them but a trial now and then. A written exception that
    covers every breach of the run keeps the breaker closed while it is in force.

    Calls that were in progress when the breaker opened tell nothing new and are left out. Answers that are about
    one ticket (a refusal, a text too long) tell nothing about the contract, and neither do calls without any answer:
    whether the endpoint answers at all is judged by ``Availability``.

    The guards of one endpoint in several workers act as one: rates are those of the calls of all, a breaker that one opens
    is open in all (``follow``), and one of them makes the trials. ``others`` returns what the others say.

    ``standing`` is what was told of this endpoint before this guard began, and has not ended: it goes on with that.
    """

    def __init__(
        self,
        tier: Tier,
        model: str,
        terms: Terms,
        limits: GuardLimits,
        exceptions: Sequence[WrittenException] = (),
        others: OtherGuards = _no_others,
        standing: Iterable[Standing] = (),
    ) -> None:
        self.source = source_of(tier, model)
        self._terms = terms
        self._exceptions = tuple(exceptions)
        self._breaker = Breaker(limits.trial_every_s, limits.trials_to_close)
        self._bell = Bell(limits.remind_s)
        self._window = limits.window
        self._rates = Rates(limits.window, lambda: self.others.tally)
        self._others = others
        self._changes = Changes(self._rates, limits, lambda: self.others)
        self._outages = Outages(self._rates, limits)
        self._other_models = OtherModels(limits.remind_s)
        self._breaker.follow(self.others.turns, 0.0)
        for each in standing:
            self._resume(each)

    def _resume(self, standing: Standing) -> None:
        if standing.kind == AlertKind.SIGNAL_OUTAGE:
            self._outages.ongoing.add(standing.reason)
        elif standing.kind == AlertKind.MODEL_NOT_ALLOWED:
            self._other_models.resume(standing.returned)
        elif standing.kind == AlertKind.CONTRACT_CHANGED and standing.use in USES:
            self._changes.resume(standing.use, standing.reasons)
            if standing.breaker == "open" and not self._breaker.turns:  # nobody else is there to say so
                self._breaker.open(0.0)

    @property
    def others(self) -> Others:
        """What the guards of other workers say now."""
        return self._others(self._rates.own_calls, self._breaker.turns)

    @property
    def is_open(self) -> bool:
        """Whether the endpoint is asked for trials only."""
        return self._breaker.is_open

    def permit(self, now: float) -> Permit:
        """Return whether the endpoint may be asked at ``now`` (seconds)."""
        if self._breaker.is_open and not self.others.leads:
            return Permit.REFUSED
        return self._breaker.permit(now)

    def follow(self, now: float) -> tuple[Finding, ...]:
        """Open or close the breaker at ``now`` (seconds) if it is so in another worker, and return the findings."""
        if self._breaker.follow(self.others.turns, now) and not self._breaker.is_open:
            return tuple(self._recovered(self._begin_anew()))
        return ()

    def state(self, at_ms: int, *, down: bool = False) -> EndpointState:
        """Return what to tell the others; the last call was at ``at_ms`` (Unix time), and ``down`` whether none is answered."""
        return EndpointState(
            source=self.source,
            turns=self._breaker.turns,
            down=down,
            counted=self._rates.state(at_ms, learns=self._is_quiet),
            runs=self._changes.state(),
        )

    def observe(self, call: Call, permit: Permit, now: float, on: date) -> tuple[Finding, ...]:
        """Take what came of a call at ``now`` (seconds) on the day ``on`` (UTC), and return the findings."""
        if call.signal.status == "unscorable" and call.signal.reason is Reason.NO_ANSWER:
            if permit is Permit.TRIAL:
                self._breaker.failed(now)
            return ()
        breaches = compare(self._terms, Observation.of(call))
        if not breaches and not tells(call.signal):
            return ()
        findings = self._models(call, breaches, now)
        if permit is Permit.TRIAL:
            findings += self._trial(breaches, now)
        elif not self._breaker.is_open:
            findings += self._judge(breaches, now, on)
        return tuple(findings)

    def _judge(self, breaches: Sequence[Breach], now: float, on: date) -> list[Finding]:
        names = {breach.name for breach in breaches}
        uses = sorted({breach.use for breach in breaches})
        self._push(names | {use_name(use) for use in uses})
        findings: list[Finding] = []
        for use in uses:
            run = self._changes.broke(use, [breach.name for breach in breaches if breach.use == use])
            if run is not None:
                findings += self._changed(use, run, now, on)
        if self._breaker.is_open:
            return findings
        well = [self._over_change(use) for use in self._changes.kept(uses)]
        begun = self._outages.see(names, self._changes.broken | {BreachName.MODEL_NOT_ALLOWED}, now)
        well += [f"{AlertKind.SIGNAL_OUTAGE}:{name}" for name in self._outages.ended(names)]
        findings += [self._outage(name) for name in begun]
        return [*findings, *self._recovered(well)]

    def _changed(self, use: Use, run: Run, now: float, on: date) -> list[Finding]:
        excused = {reason.value for each in self._exceptions if each.in_force(on) for reason in each.reasons}
        opens = use == "accept" and not run.names.keys() <= excused
        if opens:
            self._breaker.open(now)
            self._bell.over(use)  # news, even if the change itself was reported before
        if not self._bell.pull(use, now):
            return []
        what = ", ".join(name for name, _ in run.names.most_common())
        effect = "; its breaker is open" if opens else ""
        summary = f"{self.source}: every one of the last {run.length} calls broke the contract ({what}){effect}"
        hits, calls = self._changes.before(use, run)
        details = {
            "use": use,
            "run": run.length,
            "reasons": dict(run.names),
            "broken_before": hits,
            "calls_before": calls,
        }
        return [self._finding(AlertKind.CONTRACT_CHANGED, summary, **details)]

    def _trial(self, breaches: Sequence[Breach], now: float) -> list[Finding]:
        broken = sorted({breach.name for breach in breaches if breach.use == "accept"})
        if not broken:
            if not self._breaker.passed(now):
                return []
            opened = self._over_change("accept")  # this worker may not be the one that found it
            return self._recovered(sorted({opened, *self._begin_anew()}))
        self._breaker.failed(now)
        if not self._breaker.is_open or not self._bell.pull("accept", now):
            return []
        summary = f"{self.source}: the contract is still broken ({', '.join(broken)}); its breaker is open"
        return [self._finding(AlertKind.CONTRACT_CHANGED, summary, use="accept", reasons=dict.fromkeys(broken, 1))]

    def _models(self, call: Call, breaches: Sequence[Breach], now: float) -> list[Finding]:
        breach = next((each for each in breaches if each.name == BreachName.MODEL_NOT_ALLOWED), None)
        if breach is None:
            over = (
                self._other_models
                and not self._breaker.is_open
                and self._rates.calls >= self._window
                and not self._rates.count(BreachName.MODEL_NOT_ALLOWED)
            )
            return self._recovered(self._over_models()) if over else []
        if not self._other_models.see(breach.found, now):
            return []
        summary = f"{self.source}: {breach.found} answered, which the contract does not allow ({breach.expected})"
        details = {"asked": call.model_asked, "returned": call.model_returned, "allowed": list(self._terms.model_ids)}
        return [self._finding(AlertKind.MODEL_NOT_ALLOWED, summary, **details)]

    def _begin_anew(self) -> list[str]:
        """Forget what was seen before the breaker closed, which says nothing about what comes; return what is over."""
        over = [self._over_change(use) for use in self._changes.forget()]
        over += [f"{AlertKind.SIGNAL_OUTAGE}:{name}" for name in self._outages.forget()]
        self._rates.forget_window()
        return over + self._over_models()

    def _over_change(self, use: Use) -> str:
        self._bell.over(use)
        return f"{AlertKind.CONTRACT_CHANGED}:{use}"

    def _over_models(self) -> list[str]:
        return [f"{AlertKind.MODEL_NOT_ALLOWED}:{model}" for model in self._other_models.forget()]

    def _push(self, names: set[str]) -> None:
        self._rates.push(names, learn=self._is_quiet)

    @property
    def _is_quiet(self) -> bool:
        return not (self._outages.ongoing or self._changes or self._other_models)

    def _outage(self, name: str) -> Finding:
        count, calls = self._rates.count(name), self._rates.calls
        hits, before = self._rates.before(name)
        summary = f"{self.source}: {name} in {count} of the last {calls} calls"
        earlier = hits / before if before else None
        details = {"reason": name, "window": calls, "broken": count, "share": count / calls, "earlier_share": earlier}
        return self._finding(AlertKind.SIGNAL_OUTAGE, summary, **details)

    def _recovered(self, was: Sequence[str]) -> list[Finding]:
        summary = f"{self.source}: over: {', '.join(was)}"
        return [self._finding(AlertKind.RECOVERED, summary, was=list(was))] if was else []

    def _finding(self, kind: AlertKind, summary: str, **details: Any) -> Finding:
        breaker = "open" if self._breaker.is_open else "closed"
        return Finding(kind, self.source, summary, {"breaker": breaker, **details})

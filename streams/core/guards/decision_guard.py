"""What stands between the policy's decision and the ticket: the contract, the written exceptions, the hour's budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from schemas import Call, Unscorable
from streams.core.guards.budgets import EscalationBudget
from streams.core.guards.contract import Observation, Terms, compare
from streams.core.guards.escalation_share import ShareWatch
from streams.core.guards.finding import AlertKind, Bell, Finding
from streams.core.guards.limits import GuardLimits
from streams.core.guards.written_exception import WrittenException
from streams.core.policy.policy import Action, Decision
from streams.core.policy.reasons import DecisionReason


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision that the guard has seen, the exception it rests on (if any), and the findings."""

    decision: Decision
    exception: WrittenException | None = None
    findings: tuple[Finding, ...] = ()
    waits: bool = False
    """Whether it does not stand yet: the hour's escalations are used up, and tickets wait for the next ones."""


class DecisionGuard:
    """One tier's guard on decisions; ``otherwise`` is what becomes of an answer that the contract forbids to accept.

    Nothing here turns a scored answer into an accepted one. An unscored answer is accepted under a written exception
    that covers it on that day, and in no other way.

    With a ``budget``, an escalation beyond it becomes a review; the ``share`` of escalations is watched as the policy wants
    them, before that cap, and over tickets about which the model was asked: what an open breaker, an outage or spent money
    keeps from it says nothing about the policy.
    """

    def __init__(
        self,
        otherwise: Action,
        terms: Terms,
        limits: GuardLimits,
        exceptions: Sequence[WrittenException] = (),
        budget: EscalationBudget | None = None,
        share: ShareWatch | None = None,
    ) -> None:
        self._otherwise = otherwise
        self._terms = terms
        self._exceptions = tuple(exceptions)
        self._budget = budget
        self._bell = Bell(limits.remind_s)
        self._share = share

    def judge(self, decision: Decision, call: Call, now: float, on: date, *, again: bool = False) -> Judged:
        """Return what stands of a decision at ``now`` (seconds) on the day ``on`` (UTC).

        One that has waited is judged ``again``: in the share it counts once.
        """
        exception = self._exception(decision, call, on)
        if exception is not None:
            judged = self._excused(exception, decision, now)
        elif decision.action == "accept" and (broken := self._broken(call)):
            reasons = tuple(DecisionReason.CONTRACT.of(name) for name in broken)
            judged = Judged(replace(decision, action=self._otherwise, reasons=reasons))
        else:
            judged = Judged(decision)
        decision, findings = judged.decision, judged.findings
        if self._share is not None and call.attempts and not again:
            findings += self._share.push(decision.reasons[0] if decision.action == "escalate" else None, now)
        if decision.action == "escalate" and self._budget is not None:
            allowed, more = self._budget.take(now)
            findings += more
            if not allowed and self._budget.waits:
                return Judged(decision, exception, findings, waits=True)
            if not allowed:
                reasons = (*decision.reasons, DecisionReason.ESCALATION_BUDGET)
                decision = replace(decision, action="review", reasons=reasons)
        return Judged(decision, exception, findings)

    def _broken(self, call: Call) -> list[str]:
        return [breach.name for breach in compare(self._terms, Observation.of(call)) if breach.use == "accept"]

    def _exception(self, decision: Decision, call: Call, on: date) -> WrittenException | None:
        if not isinstance(call.signal, Unscorable) or len(decision.reasons) > 1:
            return None  # it excuses the missing signal, and no other doubt
        exception = next((each for each in self._exceptions if each.covers(call, on)), None)
        if exception is None or self._broken(call) != [str(call.signal.reason)]:
            return None  # an answer of a model that is not allowed is not excused for having no signal either
        return exception

    def _excused(self, exception: WrittenException, decision: Decision, now: float) -> Judged:
        findings: tuple[Finding, ...] = ()
        if self._bell.pull(exception.id, now):
            summary = (
                f"answers of the {exception.tier} tier's {exception.model} are accepted without a signal under the "
                f"exception {exception.id} of {exception.owner}, until {exception.expires}"
            )
            details = exception.model_dump(mode="json")
            findings = (Finding(AlertKind.EXCEPTION_IN_USE, f"exception:{exception.id}", summary, details),)
        reasons = (exception.decision_reason, *decision.reasons)
        return Judged(Decision("accept", reasons), exception, findings)

"""A model whose tickets wait while its endpoint does not answer, instead of going to the next tier or to reviewers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import structlog

from schemas import Alert, Call, Reason, Ticket
from streams.agents.guards import Clock
from streams.agents.model import HeldCall, Model, ModelAround
from streams.agents.trials import MOST_TRIALS, Trials
from streams.agents.turns import Turns
from streams.aio import Changes, this_task
from streams.core.fleet.others import Others
from streams.core.guards import AlertKind, Finding
from streams.core.guards.alert_book import Standing
from streams.core.guards.availability import ACCOUNT_OUTCOMES, Availability, OutageRule, is_unanswered
from streams.core.guards.endpoint_guard import source_of
from streams.errors import Hold, StopWorker
from streams.models.outlook import Failure, Outlook

log = structlog.get_logger(__name__)

#: A ticket whose own call fails this often, while the endpoint answers others in between, goes on without an answer.
OWN_FAILURES = 3
_DOWN = "not asked: the endpoint does not answer"
#: No trial is put off for longer, whatever an endpoint asks for, seconds.
_LONGEST_RETRY_AFTER_S = 600.0
#: How long is waited for a trial to end if no further one may be in flight; nothing hangs on it.
_LOOK_AGAIN_S = 60.0
#: How often is looked whether trials have become this worker's to make, seconds.
_LOOK_EVERY_S = 0.5
_NOBODY = Others()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A ticket that waits: since when (seconds), and how often its own call failed."""

    since: float
    failures: int = 0


class WaitingModel(ModelAround):
    """One tier's model that raises Hold while its endpoint does not answer, as its outage rule says.

    A hold ends when the endpoint has answered any call: another ticket, or a trial with a fixed text, which one of
    the waiting tickets, or ``follow``, sends now and then. So a ticket that no endpoint can take is told from an outage
    even if it is the only one: after a few failures of its own, each followed by an answer to another ticket, it goes on
    without one.

    A call counts as not answered from its first time-out on, of which ``outlook`` tells, and those that pause between two
    attempts end when the endpoint is down. After a hold tickets go on one after another, at the rule's rate. Without holding
    no ticket waits: trials go on by themselves, whether or not tickets come.

    ``tell`` is called with what an operator has to know, at once: when an outage begins and when it ends. ``tried`` is
    called with every trial that came back. Trials may hang, ``most_trials`` at once; ``close`` ends those.

    Each worker finds out by itself that it gets no answers. Of those that get none one makes the trials, as the
    ``others`` say; once that one gets answers, each tries for itself.
    """

    def __init__(
        self,
        model: Model,
        rule: OutageRule,
        clock: Clock,
        tell: Callable[[Alert], None],
        tried: Callable[[Call], None],
        outlook: Outlook,
        *,
        most_trials: int = MOST_TRIALS,
        others: Callable[[], Others] = lambda: _NOBODY,
    ) -> None:
        super().__init__(model)
        self._others = others
        self._rule = rule
        self._clock = clock
        self._now = clock.now
        self._tell = tell
        self._tried = tried
        self._outlook = outlook
        outlook.follow(self._failed, waits=rule.mode == "hold")
        self._availability = Availability()
        # By the task that handles the ticket: two tickets may have one text, and what a task leaves behind goes with it.
        self._waiting: WeakKeyDictionary[asyncio.Task[Any], _Waiting] = WeakKeyDictionary()
        #: Those that make a call which was counted as not answered at its first time-out.
        self._timed_out: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._answered_at = -float("inf")
        self._changes = Changes()
        self._trials = Trials(self._try_out, rule.trial_every_s, self._now, self._changes, most=most_trials)
        self._trying = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._turns = Turns(rule.resume_per_s, self._now)
        self._down_since = 0.0
        self.source = source_of(model.tier, model.model_asked)
        for told in clock.book.standing(self.source):
            if told.kind == AlertKind.ENDPOINT_DOWN:
                self._resume(told)

    def _resume(self, told: Standing) -> None:
        """Go on with an outage that was told before this worker began: a trial, and no ticket, finds out whether it is over."""
        self._availability.resume()
        self._down_since = self._now() - (self._clock.wall_ms() - told.at_ms) / 1000
        self._outlook.set_down(True)
        self._try_without_tickets()

    def _try_without_tickets(self) -> None:
        if self._rule.mode != "hold" and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(self._try_while_down())

    @property
    def is_down(self) -> bool:
        """Whether the endpoint is taken to be unavailable."""
        return self._availability.is_down

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Call:
        """Ask about one ticket; return the call, which is without an answer only if the rule says so.

        Raises Hold while the endpoint does not answer; the same task is to ask again after it.
        """
        if self._rule.mode != "hold":
            return await self._ask_or_pass_by(ticket, before)
        task = this_task()
        waiting = self._waiting.pop(task, None) or _Waiting(self._now())
        if self.is_down and not self._is_over(waiting):
            raise self._hold(task, waiting)
        call = await self._counted(self._model.ask(ticket, before))
        if not is_unanswered(call):
            return call
        waiting = replace(waiting, failures=waiting.failures + 1)
        if self._is_over(waiting) or (waiting.failures >= OWN_FAILURES and not self.is_down):
            return call
        hold = self._hold(task, waiting)
        raise HeldCall(str(hold), hold.over, call)

    def _is_over(self, waiting: _Waiting) -> bool:
        """Return whether a ticket has waited for as long as it may."""
        return self._rule.hold_s is not None and self._now() - waiting.since >= self._rule.hold_s

    def _hold(self, task: asyncio.Task[Any], waiting: _Waiting) -> Hold:
        self._waiting[task] = waiting
        since = self._now()

        async def over() -> None:
            left = None if self._rule.hold_s is None else max(0.0, waiting.since + self._rule.hold_s - since)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._answers_again(since)
                    await self._turns.take()

        return Hold(f"{self.source} does not answer", over)

    async def close(self) -> None:
        """End the trials that still hang."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._trials.close()

    async def _ask_or_pass_by(self, ticket: Ticket, before: Call | None) -> Call:
        """Ask unless the endpoint is down."""
        if self.is_down:
            self._trials.raise_error()
            return self.unasked(Reason.NO_ANSWER, _DOWN)
        return await self._counted(self._model.ask(ticket, before))

    async def _answers_again(self, since: float) -> None:
        """Wait until the endpoint has answered any call after ``since``; the holder of the lock begins the trials."""
        trials = self._trials
        while self._answered_at <= since:
            async with self._trying:
                while self._answered_at <= since:
                    trials.raise_error()
                    if self.is_down and not self._tries():
                        await self._changes.until(lambda: self._answered_at > since, _LOOK_EVERY_S)
                    elif trials.are_full:
                        await self._changes.until(
                            lambda: self._answered_at > since or not trials.are_full, _LOOK_AGAIN_S
                        )
                    elif (pause_s := trials.due_in_s()) > 0:
                        await self._changes.until(
                            lambda: self._answered_at > since or trials.error is not None, pause_s
                        )
                    else:
                        trials.begin()

    async def _try_while_down(self) -> None:
        """Send trials until the endpoint answers, or one ends with an error, which the next ticket raises."""
        trials = self._trials
        while self.is_down and trials.error is None:
            if not self._tries():
                await self._changes.until(lambda: not self.is_down, _LOOK_EVERY_S)
            elif trials.are_full:
                await self._changes.until(lambda: not self.is_down or not trials.are_full, _LOOK_AGAIN_S)
            elif (pause_s := trials.due_in_s()) > 0:
                await self._changes.until(lambda: not self.is_down or trials.error is not None, pause_s)
            else:
                trials.begin()

    def _tries(self) -> bool:
        """Return whether it is for this worker to try an endpoint that is down."""
        return self.is_down and self._others().leads_in_outage

    async def follow(self, failed: Callable[[StopWorker], None]) -> None:
        """Make the trials that are this worker's to make though no ticket of it waits, until cancelled.

        ``failed`` is called if a trial says to stop, which no ticket may come to hear.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if isinstance(error := self._trials.error, StopWorker):
                failed(error)
                return
            if self._tries() and self._trials.due_in_s() <= 0 and not self._trials.are_full:
                self._trials.begin()

    async def _try_out(self) -> None:
        with contextlib.suppress(Hold):  # what it may cost cannot be leased from the others now
            self._tried(await self._counted(self._model.try_out()))

    async def _counted(self, asking: Awaitable[Call]) -> Call:
        asked_at, task = self._now(), this_task()
        call = await asking
        was_counted = task in self._timed_out
        self._timed_out.discard(task)
        if call.signal.status == "unscorable" and call.signal.reason is Reason.OVER_BUDGET:
            return call  # it was not asked
        if is_unanswered(call):
            if not was_counted:
                account = bool(call.attempts) and call.attempts[-1].outcome in ACCOUNT_OUTCOMES
                detail = call.signal.detail if call.signal.status == "unscorable" else ""
                self._unanswered(asked_at, detail, account=account)
            return call
        self._answered_at = self._now()
        self._changes.note()
        if self._availability.answered():
            self._outlook.set_down(False)
            self._trials.drop()
            self._ended()
        return call

    def _failed(self, failure: Failure) -> None:
        if failure.after_s is not None:
            self._trials.put_off(min(failure.after_s, _LONGEST_RETRY_AFTER_S))
        if failure.first_timeout:
            self._timed_out.add(this_task())
            self._unanswered(self._now() - failure.took_s, failure.detail)

    def _unanswered(self, asked_at: float, detail: str, *, account: bool = False) -> None:
        # One that was asked before the endpoint last answered, here or in another worker, says nothing of how it is now.
        is_old = asked_at <= self._answered_at or self._clock.has_recovered_since(self.source, asked_at)
        if not is_old and self._availability.unanswered():
            self._down_since = self._now()
            self._outlook.set_down(True)
            self._begun(detail, account=account)

    def _begun(self, detail: str, *, account: bool) -> None:
        kind = AlertKind.ACCOUNT if account else AlertKind.ENDPOINT_DOWN
        effect = {"hold": "tickets wait", "escalate": "tickets go to the big tier", "review": "tickets go to reviewers"}
        summary = f"{self.source} does not answer ({detail}); {effect[self._rule.mode]}"
        log.warning("endpoint down", endpoint=self.source, problem=detail, tickets=self._rule.mode)
        self._alert(Finding(kind, self.source, summary, {"mode": self._rule.mode, "problem": detail}))
        self._try_without_tickets()

    def _ended(self) -> None:
        down_s = round(self._now() - self._down_since, 1)
        log.info("endpoint answers again", endpoint=self.source, down_s=down_s)
        summary = f"{self.source} answers again after {down_s:g} s"
        self._alert(Finding(AlertKind.RECOVERED, self.source, summary, {"was": ["endpoint_down"], "down_s": down_s}))

    def _alert(self, finding: Finding) -> None:
        for alert in self._clock.alerts([finding]):
            self._tell(alert)

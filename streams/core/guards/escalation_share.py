"""Watches the share of cheap answers that are escalated, on both sides: a flood, and a silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from schemas.fleet import ShareState
from streams.core.fleet.others import OtherShares
from streams.core.guards.alert_book import Standing
from streams.core.guards.finding import AlertKind, Bell, Finding
from streams.core.guards.limits import SIGNIFICANT
from streams.core.guards.rates import Rates
from streams.core.statistics import predictive_none, predictive_tails

SOURCE = "escalations"
_ESCALATED = "escalated"
#: How often the last window is judged while it passes.
_LOOKS = 4
#: An alarm is over when what is seen is this likely again under the history before it.
_USUAL = 1e-3
_TOP_CAUSES = 5
_ALARMS = (AlertKind.ESCALATION_SILENCE, AlertKind.ESCALATION_FLOOD)
_NOBODY = OtherShares()

#: Returns what the other workers saw, given this one's decisions in the window.
OtherWatches = Callable[[int], OtherShares]


def _no_others(_calls: int) -> OtherShares:
    return _NOBODY


class ShareWatch:
    """Compares the last ``window`` decisions with the history before them, at four moments a window.

    A *flood* or a *silence* is a count that this history would lead to less than once in a million. A silence is also
    no escalation at all for so long, be it many windows. What is seen during an alarm is not learned: the new
    share does not become normal by lasting.

    Too early to judge is until one window of history lies behind one full window.

    ``standing`` is what was told of the share before this began, and has not ended.

    It is the share of all workers together, of which ``others`` returns what the others saw, given the decisions in this
    one's window.
    """

    def __init__(
        self, window: int, remind_s: float, others: OtherWatches = _no_others, standing: Iterable[Standing] = ()
    ) -> None:
        self._window = window
        self._others = others
        self._rates = Rates(window, lambda: others(self._rates.own_calls).tally)
        self._bell = Bell(remind_s)
        told = {each.kind for each in standing}
        self._alarm: AlertKind | None = next((kind for kind in _ALARMS if kind in told), None)
        self._since_look = 0
        self._quiet = 0
        """Decisions since the last escalation, of any worker."""
        self._since_ms: int | None = 0
        """When that was told; None: it was this worker's, and is not told yet."""
        self._at_last = (0.0, 0.0)
        """(escalations, decisions) in the window and the history up to the last escalation."""

    def push(self, cause: str | None, now: float) -> tuple[Finding, ...]:
        """Take the next decision at ``now`` (seconds): why it is escalated, or None if it is not."""
        names = set() if cause is None else {_ESCALATED, cause}
        self._rates.push(names, learn=self._alarm is None)
        self._quiet += 1
        if cause is not None:
            self._since_ms = None
            self._escalated()
        self._since_look += 1
        if self._since_look < self._window // _LOOKS:
            return ()
        self._since_look = 0
        return self._look(now)

    def state(self, at_ms: int, now_ms: int) -> ShareState:
        """Return what to tell the others at ``now_ms``; the last decision was at ``at_ms`` (both Unix time)."""
        if self._since_ms is None:
            self._since_ms = now_ms
        counted = self._rates.state(at_ms, learns=self._alarm is None)
        return ShareState(counted=counted, since_ms=self._since_ms, quiet=self._quiet)

    def _escalated(self) -> None:
        hits, calls = self._rates.before(_ESCALATED)
        self._at_last = (hits + self._rates.count(_ESCALATED), calls + self._rates.calls)
        self._quiet = 0

    def _quiet_in_all(self) -> int:
        """Return the decisions of all workers since the last escalation of any."""
        others = self._others(self._rates.own_calls)
        if self._since_ms is None or others.since_ms < self._since_ms:
            return self._quiet
        if others.since_ms > self._since_ms:
            self._since_ms = others.since_ms
            self._escalated()
        return self._quiet + others.quiet

    def _look(self, now: float) -> tuple[Finding, ...]:
        quiet = self._quiet_in_all()
        hits, calls = self._rates.before(_ESCALATED)
        if calls < self._window:
            return ()
        seen = self._rates.count(_ESCALATED)
        lower, upper = predictive_tails(seen, self._rates.calls, hits, calls)
        if quiet >= self._window:
            lower = min(lower, predictive_none(quiet, *self._at_last))
        if lower < SIGNIFICANT:
            return self._tell(AlertKind.ESCALATION_SILENCE, quiet, now)
        if upper < SIGNIFICANT:
            return self._tell(AlertKind.ESCALATION_FLOOD, quiet, now)
        if self._alarm is None or min(lower, upper) < _USUAL:
            return ()
        was, self._alarm = self._alarm, None
        self._bell.over(was)
        return (Finding(AlertKind.RECOVERED, SOURCE, f"{SOURCE}: over: {was}", {"was": [was], **self._numbers(quiet)}),)

    def _tell(self, kind: AlertKind, quiet: int, now: float) -> tuple[Finding, ...]:
        self._alarm = kind
        if not self._bell.pull(kind, now):
            return ()
        numbers = self._numbers(quiet)
        seen = "none" if quiet >= self._window else f"{numbers['share']:.1%}"
        over = max(quiet, self._rates.calls)
        summary = f"{SOURCE}: {seen} of the last {over} decisions, {numbers['earlier_share']:.1%} before"
        return (Finding(kind, SOURCE, summary, numbers),)

    def _numbers(self, quiet: int) -> dict[str, object]:
        hits, calls = self._rates.before(_ESCALATED)
        counts = self._rates.names()
        escalated = counts.pop(_ESCALATED, 0)
        causes = sorted(counts.items(), key=lambda pair: -pair[1])[:_TOP_CAUSES]
        return {
            "window": self._rates.calls,
            "escalated": escalated,
            "share": escalated / self._rates.calls,
            "earlier_share": hits / calls,
            "since_last": quiet,
            "causes": dict(causes),
        }

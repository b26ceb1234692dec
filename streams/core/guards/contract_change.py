"""Tells when every call since a moment breaks the contract, which is another thing than many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from schemas.fleet import RunOfBreaches
from streams.core.fleet.others import Others
from streams.core.guards.contract import USES, Use
from streams.core.guards.limits import SIGNIFICANT, GuardLimits
from streams.core.guards.rates import Rates

#: The share before a run is pulled towards the tolerated one by this many imagined calls.
_PRIOR_CALLS = 10


@dataclass(slots=True)
class Run:
    """Calls in a row that broke the contract for one use, and what was broken how often."""

    length: int = 0
    names: Counter[str] = field(default_factory=Counter)
    of_others: int = 0
    """How many of them other workers made, before this one began."""


@dataclass(slots=True)
class _Change:
    """A contract that has changed for one use: what is broken, and how many calls in a row have kept it since."""

    names: set[str]
    kept: int = 0


def use_name(use: Use) -> str:
    """Return the name under which ``Rates`` counts the calls that broke the contract for this use."""
    return f"use {use}"


class Changes:
    """Judges runs against the calls before them in ``rates``, which the caller keeps.

    A run is one of this worker's calls. It begins as long as the shortest run of the ``others``, if all of them are in one.
    """

    def __init__(self, rates: Rates, limits: GuardLimits, others: Callable[[], Others] = Others) -> None:
        self._rates = rates
        self._limits = limits
        self._others = others
        self._runs: dict[Use, Run] = {
            use: Run(run.length, Counter(run.names), run.length)
            for use in USES
            if (run := others().shortest_runs.get(use)) is not None and run.length
        }
        self._changed: dict[Use, _Change] = {}

    @property
    def broken(self) -> set[str]:
        """Names of the breaches that changed contracts account for."""
        return {name for change in self._changed.values() for name in change.names}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def resume(self, use: str, names: Iterable[str]) -> None:
        """Take it that the contract had changed for a use before this began."""
        for each in USES:
            if each == use:
                self._changed[each] = _Change(set(names))

    def broke(self, use: Use, names: Iterable[str]) -> Run | None:
        """Take a call that broke the contract for a use; return its run if it is one that chance does not make."""
        run = self._runs.setdefault(use, Run())
        run.length += 1
        run.names.update(names)
        if use in self._changed:
            self._changed[use].kept = 0
        if not self._is_significant(use, run):
            return None
        self._changed.setdefault(use, _Change(set())).names.update(run.names)
        return run

    def kept(self, broken: Iterable[Use]) -> list[Use]:
        """Take a call that kept the contract but for the uses ``broken``; return the uses that are well again by it.

        That takes as many calls in a row as a breaker takes trials.
        """
        broken = set(broken)
        for use in self._runs.keys() - broken:
            del self._runs[use]
        well = []
        for use in sorted(self._changed.keys() - broken):
            change = self._changed[use]
            change.kept += 1
            if change.kept >= self._limits.trials_to_close:
                del self._changed[use]
                # Or the run would look like an outage now that some calls are well.
                self._rates.forget({*change.names, use_name(use)})
                well.append(use)
        return well

    def before(self, use: Use, run: Run) -> tuple[int, int]:
        """Return (breaches, calls) of what the window still holds of the time before the run."""
        in_runs = run.length - run.of_others + self._others().run_calls.get(use, 0)
        breaches, calls = self._rates.count(use_name(use)), self._rates.calls
        return max(0, breaches - in_runs), max(0, calls - in_runs)

    def state(self) -> dict[str, RunOfBreaches]:
        """Return the runs of now, to tell the others."""
        return {use: RunOfBreaches(length=run.length, names=dict(run.names)) for use, run in self._runs.items()}

    def forget(self) -> list[Use]:
        """Return the uses whose contract had changed, and begin again."""
        uses = sorted(self._changed)
        self._runs, self._changed = {}, {}
        return uses

    def _is_significant(self, use: Use, run: Run) -> bool:
        limits = self._limits
        if run.length < limits.run:
            return False
        hits, calls = self.before(use, run)
        prior = limits.tolerated_share
        recent = (hits + prior * _PRIOR_CALLS) / (calls + _PRIOR_CALLS)
        earlier = max(recent, self._rates.expected(use_name(use), prior, _PRIOR_CALLS))
        return run.length >= limits.window or earlier**run.length < SIGNIFICANT

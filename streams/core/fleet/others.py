"""What the guards of the other workers have seen, as one sum: the same whatever came twice, and in whatever order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.fleet import Counted, EndpointState, RunOfBreaches, ShareState

#: So many windows of calls are enough to say how often something happens.
_ENOUGH_WINDOWS = 20


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of several workers, in their last calls and in those before them."""

    calls: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    calls_before: float = 0.0
    counts_before: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Others:
    """What the other workers say of one endpoint; by default there are none."""

    are_there: bool = False
    """Whether another worker that asks the endpoint is live."""
    leads: bool = True
    """Whether trials of an open breaker are for this worker to make: it comes before all that were heard of in the last
    seconds."""
    leads_in_outage: bool = True
    """Whether trials of an endpoint that does not answer are for this worker to make: it comes before all others that are down
    too and were heard of in the last seconds, or another one gets answers, and so this one's network may be to blame."""
    turns: int = 0
    """The latest turn of the breaker."""
    tally: Tally = field(default_factory=Tally)
    run_calls: Mapping[str, int] = field(default_factory=dict)
    """Of the calls in the tally, those in runs of breaches, by use."""
    shortest_runs: Mapping[str, RunOfBreaches] = field(default_factory=dict)
    """The shortest run of each use: all of them are in a run at least as long."""


@dataclass(frozen=True, slots=True)
class OtherShares:
    """What the other workers say of the escalations' share; by default there are none."""

    tally: Tally = field(default_factory=Tally)
    since_ms: int = 0
    quiet: int = 0


def latest(counted: Iterable[Counted], at_work: Iterable[bool], window: int, own_calls: int) -> list[bool]:
    """Return for each whether it counts as the last calls of all workers: one window for each that is at work.

    What idle, stopped and dead ones saw last counts, the newest first, as long as the others have not filled their windows.
    ``own_calls`` are in the window of the worker that asks, which is at work itself.
    """
    ordered = list(zip(at_work, counted, strict=True))
    most = window * (1 + sum(works for works, _ in ordered))
    calls, among = own_calls, [False] * len(ordered)
    for place in sorted(range(len(ordered)), key=lambda place: (not ordered[place][0], -ordered[place][1].at_ms)):
        if calls >= most:
            break
        among[place] = True
        calls += ordered[place][1].calls
    return among


def tally(counted: Iterable[Counted], among: Iterable[bool], window: int) -> Tally:
    """Return the sum: the last calls of those that are ``among`` the latest, and before them all that is older, up to enough."""
    calls, counts = 0, Counter[str]()
    before: dict[str, float] = {}
    older: list[tuple[int, float, Mapping[str, float]]] = []
    for each, is_latest in zip(counted, among, strict=True):
        if is_latest:
            calls += each.calls
            counts.update(each.counts)
        elif each.learns:
            older.append((each.at_ms, each.calls, each.counts))
        older.append((each.at_ms, each.calls_before, each.counts_before))
    calls_before = 0.0
    for _, some, happened in sorted(older, key=lambda part: -part[0]):
        if calls_before >= _ENOUGH_WINDOWS * window:
            break
        calls_before += some
        for name, hits in happened.items():
            before[name] = before.get(name, 0.0) + hits
    return Tally(calls, counts, calls_before, before)


def other_guards(
    states: Iterable[EndpointState], at_work: Iterable[bool], window: int, own_calls: int, own_turns: int
) -> Others:
    """Return what the states of one endpoint say together, in the order of the workers; who leads is not known here.

    What was seen before the breaker's latest turn is over: a breaker that closes begins again.
    """
    ordered = list(states)
    turns = max((state.turns for state in ordered), default=0)
    counted = [state.counted if state.turns >= own_turns else _without_window(state.counted) for state in ordered]
    among = latest(counted, at_work, window, own_calls)
    latest_ones = [
        state.runs for state, each, is_latest in zip(ordered, counted, among, strict=True) if is_latest and each.calls
    ]
    none = RunOfBreaches(length=0)
    uses = sorted({use for runs in latest_ones for use in runs})
    by_use = {use: [runs.get(use, none) for runs in latest_ones] for use in uses}
    return Others(
        turns=turns,
        tally=tally(counted, among, window),
        run_calls={use: sum(run.length for run in runs) for use, runs in by_use.items()},
        shortest_runs={use: min(runs, key=lambda run: run.length) for use, runs in by_use.items()},
    )


def _without_window(counted: Counted) -> Counted:
    return counted.model_copy(update={"calls": 0, "counts": {}})


def other_shares(states: Iterable[ShareState], at_work: Iterable[bool], window: int, own_calls: int) -> OtherShares:
    """Return what the states of the share say together, in the order of the workers."""
    ordered = list(states)
    counted = [state.counted for state in ordered]
    since_ms = max((state.since_ms for state in ordered), default=0)
    quiet = sum(state.quiet for state in ordered if state.since_ms == since_ms)
    return OtherShares(tally(counted, latest(counted, at_work, window, own_calls), window), since_ms, quiet)

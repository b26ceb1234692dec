"""Chooses a policy whose accepted error is bounded, without being fooled by the great number of candidates.

Pareto testing (Laufer-Goldshtein et al. 2022, arXiv 2210.07913), a fixed-sequence form of Learn then Test (Angelopoulos
et al. 2021, arXiv 2110.01052). The records are parted in two. On the first half the maps are fitted, all thresholds are
tried, and a path is laid from cautious policies to cheap ones. On the second half, which has played no part so far, the
path is walked: each policy is tested, and the walk ends at the first that fails. The chance that any policy passed on the way
has a higher error rate than the bound is at most 1 - level, however long the path. The test is exact, and stricter than
that: it also bounds the error among as many tickets to come as were tested, because what comes is a draw, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from schemas import Call, Scored, Tier, stable_id
from streams.core.calibration.bounds import prediction_bound, upper_bound
from streams.core.calibration.fit import Choice, choose_map
from streams.core.calibration.memory_rule import choose_memory_rule
from streams.core.calibration.policy_replay import replay
from streams.core.calibration.records import Record, none_out_of_scope
from streams.core.calibration.threshold_sweep import Sweep, sweep
from streams.core.policy.calibration_map import Evidence
from streams.core.policy.fitted import BoundedMemory, Promise
from streams.core.policy.policy import Calibration, Policy, evidence
from streams.core.wording import counted
from streams.errors import HedgerowError

Floats = NDArray[np.float64]

#: Shares of the bound that the first half's error may reach, one step of the path each.
_TARGETS = np.linspace(0.1, 1.0, 46)
#: The share of tickets out of scope at which the saving is to be had as well.
_MANY = 0.25
#: By how much the doubt is divided for a count that the policy was chosen by.
_LUCK = 5
#: Of labelled records; with fewer no bound worth having can hold.
MIN_LABELLED = 60


class NoPolicy(HedgerowError):
    """No policy keeps the promise on these records; one line says what is reachable."""


@dataclass(frozen=True, slots=True)
class Step:
    """One policy of the path with its test on the second half."""

    policy: Policy
    accepted: int
    """Tickets that it accepts."""
    wrong: int
    """Of them: those with another label than the gold one, and those out of scope."""
    out_of_scope: int
    """Of the wrong: those out of scope."""
    bound: float
    """On the error rate, and on the error among as many tickets again, at the promise's level."""
    passed: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen policy, how its maps were chosen, the path that was walked, and all that was swept."""

    policy: Policy
    maps: dict[Tier, Choice]
    path: tuple[Step, ...]
    """Up to the first that failed, which is the last one then."""
    chosen: Step
    explored: tuple[Record, ...]
    tested: tuple[Record, ...]
    swept: Sweep
    eligible: NDArray[np.bool_]
    """Which pairs of the sweep kept everything but the error on the first half."""
    tier_zero: BoundedMemory | None = None
    """What bounds the error of the memory, if it answers alone."""


def halves(records: Sequence[Record], seed: int = 0) -> tuple[list[Record], list[Record]]:
    """Part the records in two by a hash of their ids: the same way whatever their order."""
    ordered = sorted(records, key=lambda record: stable_id("half", str(seed), record.ticket.ticket_id))
    middle = len(ordered) // 2
    return ordered[:middle], ordered[middle:]


def out_of_scope_share(records: Sequence[Record]) -> float:
    """Return the share of the records that are out of scope: those without a label."""
    return sum(record.gold is None for record in records) / len(records)


def at_share(records: Sequence[Record], share: float) -> list[Record]:
    """Return as many of the records as possible, of which ``share`` (0 to 1, not 1) are out of scope.

    What is left out is drawn by a hash of the ids. Raises NoPolicy if no record is out of scope and some should be.
    """
    inside = [record for record in records if record.gold is not None]
    outside = [record for record in records if record.gold is None]
    if share > 0 and not outside:
        raise NoPolicy(none_out_of_scope(share))
    wanted = round(len(inside) * share / (1 - share))
    if wanted <= len(outside):
        return inside + _draw(outside, wanted)
    return _draw(inside, round(len(outside) * (1 - share) / share)) + outside


def _draw(records: Sequence[Record], count: int) -> list[Record]:
    return sorted(records, key=lambda record: stable_id("share", record.ticket.ticket_id))[:count]


def select(
    records: Sequence[Record],
    promise: Promise,
    *,
    base: Policy | None = None,
    seed: int = 0,
    tier_zero: bool = False,
) -> Selection:
    """Return the policy for these records; ``base`` gives what is not searched: basis, least covered mass, limits.

    With ``tier_zero`` labelled tickets may answer alone, if their own error can be bounded on the first half. Audits take
    no part in the search: what they send to reviewers is a random share of what is accepted. Raises NoPolicy if there
    are too few labels or no policy keeps the bound.
    """
    labelled = sum(record.gold is not None for record in records)
    if labelled < MIN_LABELLED:
        raise NoPolicy(
            f"{counted(labelled, 'record has', 'records have')} a gold label: at least {MIN_LABELLED} are needed, better thousands"
        )
    base = base or Policy()
    explored, tested = halves(records, seed)
    maps: dict[Tier, Choice] = {
        "cheap": _choose(explored, "cheap", base, seed),
        "big": _choose(explored, "big", base, seed),
    }
    calibration = Calibration(cheap=maps["cheap"].map, big=maps["big"].map)
    plain = {"calibration": calibration, "audit_share": 0.0, "fitted": None, "memory": None}
    searched = base.model_copy(update=plain)
    alone = choose_memory_rule(explored, searched, promise) if tier_zero else None
    if alone is not None:
        searched = searched.model_copy(update={"memory": alone[0]})
    swept = sweep(explored, searched)
    eligible, keeps_out = _eligible(swept, explored, promise)
    path = _walk(_path(swept, eligible, explored, searched, promise), tested, promise)
    passed = [step for step in path if step.passed]
    if not passed:
        raise NoPolicy(_unreachable(path, swept, explored, promise))
    chosen = _keeping_out(passed, tested, promise) if keeps_out else passed[-1]
    return Selection(
        policy=chosen.policy.model_copy(update={"audit_share": base.audit_share}),
        maps=maps,
        path=tuple(path),
        chosen=chosen,
        explored=tuple(explored),
        tested=tuple(tested),
        swept=swept,
        eligible=eligible,
        tier_zero=None if alone is None else alone[1],
    )


def shown(records: Sequence[Record], tier: Tier, policy: Policy) -> tuple[list[Evidence], Floats]:
    """Return what is known of the tier's answers on the policy's basis, and 1.0 for each that is right, 0.0 for the others.

    Records without a signal are left out. An answer about a ticket that is out of scope is wrong, whatever it is.
    """
    calls: list[tuple[Call, str | None]] = [(getattr(record, tier), record.gold) for record in records]
    scored = [(call, call.signal, gold) for call, gold in calls if isinstance(call.signal, Scored)]
    known = [evidence(call, signal, policy.basis) for call, signal, _ in scored]
    return known, np.array([float(signal.label == gold) for _, signal, gold in scored], dtype=np.float64)


def _choose(records: Sequence[Record], tier: Tier, policy: Policy, seed: int) -> Choice:
    try:
        return choose_map(*shown(records, tier, policy), seed)
    except ValueError as error:
        raise NoPolicy(f"the {tier} tier: {error}") from None


def _eligible(swept: Sweep, records: Sequence[Record], promise: Promise) -> tuple[NDArray[np.bool_], bool]:
    """Return which pairs keep what has no test on the second half, and whether they keep the tickets out of scope out.

    That is the review share, and what is kept of the accuracy, the latter with a margin, by the normal approximation of
    the paired difference. Only tickets on which one tier is right and the other wrong move it. If some of these pairs
    keep the tickets out of scope out, and the bound and the saving can still be had, only they are returned: as surely as
    that can be had.
    """
    kept = (swept.accepted - swept.wrong) - promise.keep * (swept.accepted - swept.big_wrong)
    margin = _deviations(promise.level) * np.sqrt(swept.lost + swept.won)[:, None]
    fits: NDArray[np.bool_] = (
        (kept >= margin) & (swept.review <= promise.max_review * len(records)) & (swept.accepted > 0)
    )
    saves = _saves(swept, records, promise)
    possible = fits & saves & (swept.wrong <= promise.max_error * swept.accepted)
    outside = sum(record.gold is None for record in records)
    for most in _most_routed(outside, promise):
        few = swept.out_of_scope <= most
        if (possible & few).any():
            return fits & few, True
    return fits, False


def _most_routed(outside: int, promise: Promise) -> list[int]:
    """Return how many of the tickets out of scope a policy may route on the first half, the strictest first.

    With the first two the share behind the count is bounded by the promise's, exactly: the best of very many policies
    looks better than it is, so the bound at five times less doubt than the promise's is wanted first. The last is the
    promise's share as it is.
    """
    levels = (1 - (1 - promise.level) / _LUCK, promise.level)
    most = [
        max((k for k in range(outside) if upper_bound(k, outside, level) <= promise.max_out_of_scope), default=None)
        for level in levels
    ]
    return [k for k in most if k is not None] + [math.floor(promise.max_out_of_scope * outside)]


def _saves(swept: Sweep, records: Sequence[Record], promise: Promise) -> NDArray[np.bool_]:
    """Return which pairs reach the saving with a margin: who is escalated is a draw, too.

    If some do so with far more tickets out of scope as well, only they are returned: such tickets cost most if the big
    model is asked about them, and how many come is nobody's promise.
    """
    deviations = _deviations(promise.level)

    def careful(share: float | None) -> NDArray[np.bool_]:
        saving = swept.saving(records, share)
        margin = deviations * np.sqrt(np.clip(saving * (1 - saving), 0, None) / len(records))
        return np.asarray(saving - margin >= promise.min_saving)

    now = careful(None)
    if promise.out_of_scope_share is not None and promise.out_of_scope_share >= _MANY:
        return now
    many = now & careful(_MANY)
    return many if (many & (swept.wrong <= promise.max_error * swept.accepted)).any() else now


def _deviations(level: float) -> float:
    """Return how many standard deviations a figure may be off: by its own draw, and by that of as many tickets again."""
    return NormalDist().inv_cdf(level) * math.sqrt(2)


def _path(
    swept: Sweep, eligible: NDArray[np.bool_], records: Sequence[Record], base: Policy, promise: Promise
) -> list[Policy]:
    """Return policies from cautious to cheap: for each target of the error the cheapest that stays under it."""
    error = swept.wrong / np.maximum(1, swept.accepted)
    cost = swept.cost_usd + promise.review_usd * swept.review
    saves = _saves(swept, records, promise)
    path: list[Policy] = []
    seen: set[int] = set()
    for target in promise.max_error * _TARGETS:
        fits = eligible & (error <= target)
        if not fits.any():
            continue
        # If the saving wanted is out of reach, what comes nearest to it counts, not what reviewers cost.
        reached = fits & saves
        price = np.where(reached, cost, np.inf) if reached.any() else np.where(fits, swept.cost_usd, np.inf)
        best = np.flatnonzero(price == price.min())
        place = int(best[np.argmin(swept.wrong.flat[best])])
        if place in seen:
            continue
        seen.add(place)
        row, column = divmod(place, len(swept.big))
        path.append(base.model_copy(update={"cheap": swept.cheap[row], "big": swept.big[column]}))
    return path


def _walk(path: Sequence[Policy], records: Sequence[Record], promise: Promise) -> list[Step]:
    """Test the path on records that it was not laid on, and stop at the first policy that fails."""
    steps: list[Step] = []
    for policy in path:
        outcomes = [outcome for outcome in replay(policy, records) if outcome.accepted]
        accepted, wrong = len(outcomes), sum(not outcome.right for outcome in outcomes)
        outside = sum(outcome.record.gold is None for outcome in outcomes)
        bound = max(
            upper_bound(wrong, accepted, promise.level), prediction_bound(wrong, accepted, accepted, promise.level)
        )
        steps.append(Step(policy, accepted, wrong, outside, bound, passed=bound <= promise.max_error))
        if not steps[-1].passed:
            break
    return steps


def _keeping_out(passed: Sequence[Step], records: Sequence[Record], promise: Promise) -> Step:
    """Return the last step that keeps the tickets out of scope out on the second half, too; else the one that does it best.

    The bound on the error holds for every step that passed, so this choice takes nothing from it.
    """
    outside = sum(record.gold is None for record in records)
    most = _most_routed(outside, promise)[-2 if outside else -1 :][0]
    return max(passed, key=lambda step: (-max(0, step.out_of_scope - most), passed.index(step)))


def _unreachable(path: Sequence[Step], swept: Sweep, records: Sequence[Record], promise: Promise) -> str:
    asked = f"no policy keeps the accepted error under {promise.max_error:.2%} at {promise.level:.0%} confidence"
    room = f"with at most {promise.max_review:.0%} in review"
    if path:
        best = min(path, key=lambda step: step.bound)
        return (
            f"{asked} {room}: the surest one tried got {best.wrong} of {best.accepted} wrong, which bounds it at "
            f"{best.bound:.2%}; allow more error, more review, or bring more records"
        )
    fits = (swept.review <= promise.max_review * len(records)) & (swept.accepted > 0)
    error = np.where(fits, swept.wrong / np.maximum(1, swept.accepted), np.inf)
    least = float(error.min())
    return (
        f"{asked} {room}: the least error found on {len(records)} records is {least:.2%}; allow more error or more review"
        if least < np.inf
        else f"{asked} {room}: every policy sends more than that to review; allow more review"
    )

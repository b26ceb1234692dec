"""What a calibration found, as plain values: the policy with its origin, and the figures behind it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from schemas import Tier, stable_id
from streams.core.calibration.figures import whatif
from streams.core.calibration.fit import applied
from streams.core.calibration.measures import (
    Floats,
    auroc,
    brier,
    ece,
    honest_ece,
    log_loss,
    reliability,
    risk_coverage,
)
from streams.core.calibration.policy_replay import replay
from streams.core.calibration.records import Record, data_hash, origin
from streams.core.calibration.selection import Selection, at_share, out_of_scope_share, select, shown
from streams.core.policy.fitted import READING, Fitted, Promise
from streams.core.policy.policy import Policy, skips_cheap

_CURVE_POINTS = 100
#: Of the stretched frontier above its straight line: less is no knee that is worth a mark.
_KNEE_HEIGHT = 0.1
#: Shares of review closer to the chosen policy's than this are left out: what such a step brings is chance.
_APART = 0.005
_REVIEW_STEPS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def calibrated(
    records: Sequence[Record],
    promise: Promise,
    date: datetime.date,
    *,
    base: Policy | None = None,
    seed: int = 0,
    tier_zero: bool = False,
) -> tuple[Policy, dict[str, Any]]:
    """Return the policy that is fitted to these records, and its report.

    ``base``, ``seed`` and ``tier_zero`` are those of ``select``. If the promise names a share of tickets out of scope, records are left
    out until they have it; if not, it is made to name the share that they have. Raises NoPolicy if no policy keeps the
    promise, and SettingsError for records that no policy can be fitted to.
    """
    origin(records)  # a mixture is refused before anything is searched on it
    if promise.out_of_scope_share is not None:
        records = at_share(records, promise.out_of_scope_share)
    promise = promise.model_copy(update={"out_of_scope_share": out_of_scope_share(records)})
    selection = select(records, promise, base=base, seed=seed, tier_zero=tier_zero)
    found = report(selection, promise)
    return fitted_policy(selection, records, promise, date, found["figures"]), found


def fitted_policy(
    selection: Selection, records: Sequence[Record], promise: Promise, date: datetime.date, made: dict[str, Any]
) -> Policy:
    """Return the chosen policy with its id and where it comes from; ``made`` are the figures of the tested half."""
    source = origin(records)
    numbers = {name: value for name, value in made.items() if isinstance(value, int | float) or value is None}
    fitted = Fitted(
        reading=READING,
        data_hash=data_hash(records),
        records=len(records),
        date=date,
        labels=source.labels,
        cheap=source.cheap,
        big=source.big,
        promise=promise,
        memory=source.memory,
        tier_zero=selection.tier_zero,
        figures={name: None if value is None else round(value, 6) for name, value in numbers.items()},
    )
    policy = selection.policy.model_copy(update={"fitted": fitted})
    return policy.model_copy(update={"id": f"calibrated-{stable_id('policy', policy.model_dump_json())[:12]}"})


def report(selection: Selection, promise: Promise) -> dict[str, Any]:
    """Return everything that a person should see before trusting the policy. All figures are of the tested half."""
    chosen = selection.chosen
    return {
        "promise": promise.model_dump(),
        "explored": len(selection.explored),
        "tested": len(selection.tested),
        "figures": {**whatif(selection.policy, selection.tested), "accepted_error_bound": chosen.bound},
        "thresholds": {"cheap": selection.policy.cheap.model_dump(), "big": selection.policy.big.model_dump()},
        "tier_zero": _tier_zero(selection),
        "asked": _asked(selection),
        "tiers": {tier: _tier(selection, tier) for tier in ("cheap", "big")},
        "path": [
            {
                "accepted": step.accepted,
                "wrong": step.wrong,
                "bound": step.bound,
                "passed": step.passed,
                "chosen": step is chosen,
            }
            for step in selection.path
        ],
        "frontier": frontier(selection, promise),
        "trade": trade(selection, promise),
    }


def frontier(selection: Selection, promise: Promise) -> list[dict[str, float]]:
    """Return what more work for reviewers would save: the best saving for each review share, on the explored half.

    Among policies that keep the rest of the promise and err no more there than the chosen one does.
    """
    swept, records = selection.swept, selection.explored
    here = whatif(selection.policy, records)
    error = swept.wrong / np.maximum(1, swept.accepted)
    fits = selection.eligible & (error <= (here["accepted_error"] or 0.0))
    saving = swept.saving(records)
    rows = []
    for share in [step for step in _REVIEW_STEPS if step <= promise.max_review]:
        within = fits & (swept.review <= share * len(records))
        if within.any():
            rows.append({"review_rate": share, "saving": float(saving[within].max())})
    return rows


class TradeRow(TypedDict):
    """One point of the trade of review for saving, both as shares; ``saving_per_review`` is what the step from the row
    before saves for what it sends to review."""

    review_rate: float
    saving: float
    saving_per_review: float | None
    chosen: bool
    knee: bool


def trade(selection: Selection, promise: Promise) -> list[TradeRow]:
    """Return the frontier with the chosen policy in its place, least review first, on the explored half.

    The knee is the row that stands highest above the line from the first row to the last, with both axes stretched to
    the same length. Up to it review saves much, beyond it little. A frontier that is nearly straight has none.
    """
    policy = selection.policy.model_copy(update={"audit_share": 0.0})
    here = whatif(policy, selection.explored)
    chosen = (here["review_rate"], here["saving"] or 0.0)
    points = [(row["review_rate"], row["saving"]) for row in frontier(selection, promise)]
    points = sorted([*(point for point in points if abs(point[0] - chosen[0]) >= _APART), chosen])
    knee = knee_of(points)
    rows = []
    for place, (review, saving) in enumerate(points):
        before = points[place - 1] if place else None
        rows.append(
            TradeRow(
                review_rate=review,
                saving=saving,
                saving_per_review=None if before is None else (saving - before[1]) / (review - before[0]),
                chosen=(review, saving) == chosen,
                knee=place == knee,
            )
        )
    return rows


def knee_of(points: Sequence[tuple[float, float]]) -> int | None:
    """Return the place of the knee of a rising curve, or None (Satopää et al. 2011, "Finding a Kneedle in a Haystack")."""
    (left, low), (right, high) = points[0], points[-1]
    if right <= left or high <= low:
        return None
    heights = [(y - low) / (high - low) - (x - left) / (right - left) for x, y in points]
    highest = max(range(len(points)), key=heights.__getitem__)
    return highest if heights[highest] >= _KNEE_HEIGHT else None


def _tier_zero(selection: Selection) -> dict[str, Any] | None:
    """Return the memory's rule, the bound on its error, and what it did on the tested half; None if it answers nothing."""
    if selection.tier_zero is None or selection.policy.memory is None:
        return None
    answered = [one for one in replay(selection.policy, selection.tested) if one.end == "memory"]
    wrong = sum(not one.right for one in answered)
    tested = {"answered": len(answered), "wrong": wrong, "share": len(answered) / max(1, len(selection.tested))}
    return {**selection.policy.memory.model_dump(), "explored": selection.tier_zero.model_dump(), "tested": tested}


def _asked(selection: Selection) -> dict[Tier, float]:
    """Return the share of the tested half's tickets that each tier is asked about."""
    outcomes = replay(selection.policy, selection.tested)
    unasked = sum(one.end == "memory" or skips_cheap(selection.policy, one.record.ticket.text) for one in outcomes)
    count = max(1, len(outcomes))
    return {"cheap": 1 - unasked / count, "big": sum(one.escalated for one in outcomes) / count}


def _tier(selection: Selection, tier: Tier) -> dict[str, Any]:
    known, right = shown(selection.tested, tier, selection.policy)
    choice = selection.maps[tier]
    return {
        "map": choice.map.model_dump(),
        "cross_validated": {"log_loss": choice.log_loss, "brier": choice.brier, "auroc": choice.auroc},
        "gain": choice.gain,
        "before": _measures(applied(None, known), right),
        "after": _measures(applied(choice.map, known), right),
    }


def _measures(confidence: Floats, right: Floats) -> dict[str, Any]:
    if not len(confidence):
        return {"answers": 0}
    coverage, risk = risk_coverage(confidence, right)
    places = np.unique(np.linspace(0, len(coverage) - 1, _CURVE_POINTS).astype(np.intp))
    return {
        "answers": len(confidence),
        "accuracy": float(right.mean()),
        "ece": ece(confidence, right),
        "ece_of_an_honest_model": honest_ece(confidence),
        "brier": brier(confidence, right),
        "log_loss": log_loss(confidence, right),
        "auroc": auroc(confidence, right),
        "reliability": [
            {"answers": one.answers, "confidence": one.confidence, "right": one.right}
            for one in reliability(confidence, right)
        ],
        "risk_coverage": [
            {"coverage": float(x), "error": float(y)} for x, y in zip(coverage[places], risk[places], strict=True)
        ],
    }

"""The figures of a policy on recorded answers: what it saves, how right it is, and what it leaves to reviewers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas import Scored, total_usd
from streams.core.calibration.label_figures import confusion, label_figures
from streams.core.calibration.measures import auroc, ece
from streams.core.calibration.policy_replay import Outcome, replay
from streams.core.calibration.records import Record
from streams.core.policy.policy import Policy


def whatif(policy: Policy, records: Sequence[Record], share: float | None = None) -> dict[str, Any]:
    """Return the policy's figures on the records (see `figures`), and ``slices`` with those of each named slice.

    ``labels`` has the figures of each label, ``confusion`` which labels were mixed up (see `label_figures`).
    """
    outcomes = replay(policy, records)
    slices: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.record.ticket.slice is not None:
            slices.setdefault(outcome.record.ticket.slice, []).append(outcome)
    return {
        **figures(outcomes, share),
        "slices": {name: figures(part) for name, part in sorted(slices.items())},
        "labels": label_figures(outcomes),
        "confusion": confusion(outcomes),
    }


def figures(outcomes: Sequence[Outcome], share: float | None = None) -> dict[str, Any]:
    """Return the figures of replayed tickets; None if there is nothing to divide by, or the cost of a call is unknown.

    Shares are of all tickets, costs in USD of the model calls that the policy pays. Accuracies are over the tickets that
    are routed without a reviewer and have a gold label; those of the two single tiers are over the same tickets.
    ``ece`` is the expected calibration error of the deciding tier's confidence there (15 bins of equal mass).
    ``accuracy_*_alone`` are over every labelled ticket, and ``cost_per_correct`` is what labelled tickets cost for each
    right label.

    A ticket without a gold label is out of scope and belongs with a reviewer. If it is routed, it is an error:
    ``accepted_error`` is the share of errors among all that are routed, ``accepted_error_in_scope`` that among the
    tickets with a gold label. ``out_of_scope_routed`` is the share of the tickets out of scope that are routed.
    ``out_of_scope_auroc`` says how well the novelty tells them from the others, or the cheap tier's confidence if the
    records have no novelty. With ``share``, ``accepted_error`` is what it would be if that share of the
    tickets were out of scope; None if the records have no ticket of a kind that it needs.
    """
    accepted = [outcome for outcome in outcomes if outcome.accepted]
    known = [outcome for outcome in accepted if outcome.right is not None]
    cost = total_usd(outcome.cost_usd for outcome in outcomes)
    all_big = total_usd(outcome.record.big.cost_usd for outcome in outcomes)
    right = sum(outcome.right is True for outcome in known)
    labelled = [outcome for outcome in outcomes if outcome.record.gold is not None]
    labelled_cost = total_usd(outcome.cost_usd for outcome in labelled)
    return {
        "saving": 1 - cost / all_big if all_big and cost is not None else None,
        "accuracy": _share(right, known),
        "accuracy_all_cheap": _share(sum(o.record.cheap.signal.label == o.record.gold for o in known), known),
        "accuracy_all_big": _share(sum(o.record.big.signal.label == o.record.gold for o in known), known),
        "accepted_error": _accepted_error(outcomes, share),
        "ece": _ece(known),
        "review_rate": _share(len(outcomes) - len(accepted), outcomes),
        "escalation_rate": _share(sum(outcome.escalated for outcome in outcomes), outcomes),
        "cost_usd": cost,
        "cost_per_correct": labelled_cost / right if right and labelled_cost is not None else None,
        "cost_all_big_usd": all_big,
        "accuracy_cheap_alone": _share(sum(o.record.cheap.signal.label == o.record.gold for o in labelled), labelled),
        "accuracy_big_alone": _share(sum(o.record.big.signal.label == o.record.gold for o in labelled), labelled),
        "tickets": len(outcomes),
        "labelled": len(labelled),
        "routed": len(accepted),
        "routed_memory": sum(outcome.end == "memory" for outcome in outcomes),
        "routed_cheap": sum(outcome.end == "cheap" for outcome in outcomes),
        "routed_big": sum(outcome.end == "big" for outcome in outcomes),
        "in_review": len(outcomes) - len(accepted),
        "accepted_labelled": len(known),
        "accepted_wrong": len(known) - right,
        "accepted_unlabelled": len(accepted) - len(known),
        "accepted_error_in_scope": _share(len(known) - right, known),
        "out_of_scope_share": share if share is not None else _share(len(outcomes) - len(labelled), outcomes),
        "out_of_scope_routed": _routed([outcome for outcome in outcomes if outcome.record.gold is None]),
        "out_of_scope_auroc": _out_of_scope_auroc(outcomes),
    }


def _accepted_error(outcomes: Sequence[Outcome], share: float | None) -> float | None:
    accepted = [outcome for outcome in outcomes if outcome.accepted]
    wrong = sum(not outcome.right for outcome in accepted)
    if share is None:
        return _share(wrong, accepted)
    inside = [outcome for outcome in outcomes if outcome.record.gold is not None]
    outside = [outcome for outcome in outcomes if outcome.record.gold is None]
    if (share > 0 and not outside) or (share < 1 and not inside):
        return None  # nothing is known of a part of such tickets
    routed_inside, routed_outside = _routed(inside) or 0.0, _routed(outside) or 0.0
    wrong_inside = sum(outcome.right is False for outcome in inside) / len(inside) if inside else 0.0
    routed = (1 - share) * routed_inside + share * routed_outside
    return ((1 - share) * wrong_inside + share * routed_outside) / routed if routed else None


def _routed(outcomes: Sequence[Outcome]) -> float | None:
    return _share(sum(outcome.accepted for outcome in outcomes), outcomes)


def _out_of_scope_auroc(outcomes: Sequence[Outcome]) -> float | None:
    calls = [(outcome.record.cheap, float(outcome.record.gold is not None)) for outcome in outcomes]
    known = [(-call.novelty, inside) for call, inside in calls if call.novelty is not None]
    if not known:
        signals = [(call.signal, inside) for call, inside in calls]
        known = [(signal.confidence, inside) for signal, inside in signals if isinstance(signal, Scored)]
    both = np.array(known, dtype=np.float64).reshape(-1, 2)
    return auroc(both[:, 0], both[:, 1])


def _share(part: int, whole: Sequence[Outcome]) -> float | None:
    return part / len(whole) if whole else None


def _ece(known: Sequence[Outcome]) -> float | None:
    if not known:
        return None
    confidence = np.array([outcome.confidence for outcome in known], dtype=np.float64)
    return ece(confidence, np.array([outcome.right is True for outcome in known], dtype=np.float64))

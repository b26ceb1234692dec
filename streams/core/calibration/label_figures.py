"""How a policy does label by label, and which labels it mixes up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from streams.core.calibration.policy_replay import Outcome


def label_figures(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Return the figures of each label, by name; None if there is nothing to divide by.

    Only tickets with a gold label count. ``support`` is how many of them have this one, ``routed`` how many of those
    were routed without a reviewer. ``precision`` is the share of right labels among the tickets routed as this one,
    ``recall`` the share of this label's routed tickets that were routed as it. ``escalation_rate`` and ``review_rate``
    are shares of ``support``.
    """
    known = [(str(one.record.gold), one) for one in outcomes if one.record.gold is not None]
    support = Counter(gold for gold, _ in known)
    escalated = Counter(gold for gold, one in known if one.escalated)
    routed = Counter(gold for gold, one in known if one.accepted)
    given = Counter(str(one.label) for _, one in known if one.accepted)
    right = Counter(gold for gold, one in known if one.right)
    return {
        label: {
            "support": support[label],
            "routed": routed[label],
            "precision": _share(right[label], given[label]),
            "recall": _share(right[label], routed[label]),
            "escalation_rate": _share(escalated[label], support[label]),
            "review_rate": _share(support[label] - routed[label], support[label]),
        }
        for label in sorted(support.keys() | given.keys())
    }


def confusion(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """Return how many tickets of each gold label were routed as which label: every label has a row and a column.

    Tickets in review and tickets without a gold label are left out.
    """
    counts = Counter(
        (one.record.gold, one.label) for one in outcomes if one.record.gold is not None and one.label is not None
    )
    labels = sorted({one.record.gold for one in outcomes if one.record.gold is not None} | {name for _, name in counts})
    return {gold: {name: counts[gold, name] for name in labels} for gold in labels}


def top_confusions(matrix: dict[str, dict[str, int]], limit: int) -> list[tuple[str, str, int]]:
    """Return the most frequent errors of a confusion matrix: gold label, label routed as, number of tickets."""
    wrong = [(gold, name, count) for gold, row in matrix.items() for name, count in row.items() if count]
    return sorted((one for one in wrong if one[0] != one[1]), key=lambda one: (-one[2], one[0], one[1]))[:limit]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

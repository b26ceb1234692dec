"""The area under the ROC curve of a detector's statistics, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean AUC with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def auc(null: Scores, changed: Scores) -> float:
    """Return how often a changed model's statistic is above the unchanged one's; a tie counts half."""
    ordered = np.sort(null)
    below = np.searchsorted(ordered, changed, "left") + np.searchsorted(ordered, changed, "right")
    return float(below.mean() / (2 * len(null)))


@dataclass(frozen=True, slots=True, eq=False)
class VariantScores:
    """One detector's statistics about one variant: of the null tests of its model, and of the tests of the variant."""

    null: Scores
    changed: Scores


def interval(
    tests: Sequence[VariantScores], resamples: int, seed: int, *, less: Sequence[VariantScores] = ()
) -> Interval:
    """Return the plain mean of the AUCs over variants, with percentiles over variants drawn anew, then statistics.

    With ``less``, another detector's tests of the same variants in the same order, the mean of the differences: both
    have the same variants in each draw.
    """
    chance = np.random.default_rng(seed)
    sides = [(1, tests), (-1, less)] if less else [(1, tests)]
    value = sum(sign * float(np.mean([auc(one.null, one.changed) for one in side])) for sign, side in sides)
    means = []
    for _ in range(resamples):
        places = chance.integers(0, len(tests), len(tests))
        means.append(sum(sign * _drawn([side[place] for place in places], chance) for sign, side in sides))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _drawn(tests: Sequence[VariantScores], chance: np.random.Generator) -> float:
    """Return the mean AUC with the statistics drawn anew; variants of one model share their null tests."""
    groups: dict[int, list[VariantScores]] = {}
    for one in tests:
        groups.setdefault(id(one.null), []).append(one)
    total = 0.0
    for group in groups.values():
        null = group[0].null
        ordered = np.sort(chance.choice(null, len(null)))
        together = np.concatenate([chance.choice(one.changed, len(one.changed)) for one in group])
        below = np.searchsorted(ordered, together, "left") + np.searchsorted(ordered, together, "right")
        total += len(group) * float(below.mean()) / (2 * len(null))
    return total / len(tests)

"""The area under the ROC curve of a detector's statistics, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
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


def interval(null: Scores, changed: Mapping[str, Scores], resamples: int, seed: int) -> Interval:
    """Return the plain mean of the AUCs over variants, with percentiles over variants drawn anew, then statistics."""
    chance = np.random.default_rng(seed)
    found = list(changed.values())
    value = float(np.mean([auc(null, one) for one in found]))
    means = []
    for _ in range(resamples):
        ordered = np.sort(chance.choice(null, len(null)))
        drawn = [chance.choice(found[place], len(found[place])) for place in chance.integers(0, len(found), len(found))]
        together = np.concatenate(drawn)
        below = np.searchsorted(ordered, together, "left") + np.searchsorted(ordered, together, "right")
        means.append(below.mean() / (2 * len(null)))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))

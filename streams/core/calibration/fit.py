"""Fits a calibration map to answers that are known to be right or wrong, and chooses between the two kinds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.core.calibration.measures import brier, log_loss
from streams.core.policy.calibration_map import CalibrationMap, Isotonic, Temperature

Floats = NDArray[np.float64]
Fit = Callable[[Floats, Floats], CalibrationMap]

FOLDS = 5
_GOLDEN = (math.sqrt(5) - 1) / 2
_SEARCHED = (math.log(0.05), math.log(20.0))
"""The range of log temperatures."""
_CLIP = 1e-12
DIGITS = 6
"""Decimals of a knot in the policy file."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The map that was chosen, and the cross-validated log loss (nats) and Brier score of each kind and of none."""

    map: CalibrationMap
    log_loss: dict[str, float]
    brier: dict[str, float]


def fit_temperature(confidence: Floats, right: Floats) -> Temperature:
    """Return the temperature with the least log loss, by golden-section search: the loss is convex in 1/T."""
    shown = np.clip(confidence, _CLIP, 1 - _CLIP)
    odds = np.log(shown) - np.log1p(-shown)

    def loss(log_temperature: float) -> float:
        scaled = odds * math.exp(-log_temperature)
        return float(np.mean(np.logaddexp(0.0, scaled) - right * scaled))

    low, high = _SEARCHED
    while high - low > 1e-4:
        left, right_of = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) <= loss(right_of):
            high = right_of
        else:
            low = left
    return Temperature(temperature=round(math.exp((low + high) / 2), 4))


def fit_isotonic(confidence: Floats, right: Floats) -> Isotonic:
    """Return the rising line of least squares: pooled adjacent violators, with each pool's mean as its knot.

    The knots follow centred isotonic regression (Oron and Flournoy 2017, arXiv 1701.05964), which rises between pools
    where the plain one jumps. One imagined hit at the lowest confidence and one imagined slip at the highest keep any
    number of records from proving certainty.
    """
    order = np.argsort(confidence, kind="stable")
    # Rounded before pooling: on a grid the means of different pools stay apart when they are rounded again.
    rounded = np.round(confidence[order], DIGITS)
    shown = np.concatenate((rounded[:1], rounded, rounded[-1:]))
    hits = np.concatenate(([1.0], right[order], [0.0]))
    pools: list[tuple[float, float, float]] = []  # members, sum of confidences, hits
    values, first = np.unique(shown, return_index=True)
    for x, members, hit in zip(
        values, np.diff(np.append(first, len(shown))), np.add.reduceat(hits, first), strict=True
    ):
        pool = (float(members), float(x * members), float(hit))
        while pools and pools[-1][2] * pool[0] >= pool[2] * pools[-1][0]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    return Isotonic(
        shown=tuple(round(total / members, DIGITS) for members, total, _ in pools),
        right=tuple(round(hit / members, DIGITS) for members, _, hit in pools),
    )


FITS: dict[str, Fit] = {"temperature": fit_temperature, "isotonic": fit_isotonic}


def choose_map(confidence: Floats, right: Floats, seed: int = 0) -> Choice:
    """Fit both kinds and return the one with the smaller log loss over ``FOLDS`` folds, fitted to everything.

    ``confidence`` and ``right`` (1.0 or 0.0) go side by side. Raises ValueError for fewer than two answers a fold.
    """
    if len(confidence) < 2 * FOLDS:
        raise ValueError(f"a calibration map needs at least {2 * FOLDS} answers, {len(confidence)} given")
    fold = np.random.default_rng(seed).permutation(len(confidence)) % FOLDS
    held_out = {name: np.empty(len(confidence)) for name in FITS}
    for number in range(FOLDS):
        seen, unseen = fold != number, fold == number
        for name, fit in FITS.items():
            held_out[name][unseen] = applied(fit(confidence[seen], right[seen]), confidence[unseen])
    held_out["none"] = confidence
    losses = {name: log_loss(values, right) for name, values in held_out.items()}
    best = min(FITS, key=losses.__getitem__)
    return Choice(
        FITS[best](confidence, right), losses, {name: brier(values, right) for name, values in held_out.items()}
    )


def applied(calibration: CalibrationMap | None, confidence: Floats) -> Floats:
    """Return the calibrated confidences; without a map they stay as they are."""
    return confidence if calibration is None else np.array([calibration(x) for x in confidence.tolist()])

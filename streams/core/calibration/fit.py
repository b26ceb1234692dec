"""Fits a calibration map to answers that are known to be right or wrong, and chooses between the kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.core.calibration.measures import auroc, brier, log_loss
from streams.core.policy.calibration_map import CalibrationMap, Evidence, Isotonic, Logistic, Temperature

Floats = NDArray[np.float64]
Fit = Callable[[Sequence[Evidence], Floats], CalibrationMap]

FOLDS = 5
_GOLDEN = (math.sqrt(5) - 1) / 2
_SEARCHED = (math.log(0.05), math.log(20.0))
"""The range of log temperatures."""
_CLIP = 1e-12
DIGITS = 6
"""Decimals of a knot or weight in the policy file."""
_SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
"""Of the weights of ``Evidence.columns``: what speaks for an answer, and what against it."""
_PENALTY = 1.0
"""On half the square of each standardised weight, against the summed log loss in nats."""
_SMALL = 1e-9
_NEWTON_STEPS = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """The map that was chosen, and the cross-validated log loss (nats), Brier score and AUROC of each kind and of none."""

    map: CalibrationMap
    log_loss: dict[str, float]
    brier: dict[str, float]
    auroc: dict[str, float | None]

    @property
    def gain(self) -> float | None:
        """How much less log loss (nats) the logistic map has than the best map of one number; None if none was fitted."""
        if LOGISTIC not in self.log_loss:
            return None
        return min(self.log_loss[name] for name in ONE_NUMBER) - self.log_loss[LOGISTIC]


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


def fit_logistic(evidence: Sequence[Evidence], right: Floats) -> Logistic:
    """Return the logistic regression with the least penalised log loss among those whose weights keep their signs.

    A weight that would get the wrong sign is left out. Targets are smoothed as Platt (1999) does, so that no number of
    records proves certainty; a small penalty on the weights of the standardised columns keeps them finite.
    """
    columns = np.array([one.columns for one in evidence], dtype=np.float64)
    centre, scale = columns.mean(axis=0), columns.std(axis=0)
    hits = right.sum()
    targets = np.where(right > 0.5, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))
    active = scale > _SMALL
    weights = np.zeros(len(_SIGNS))
    while True:
        standard = (columns[:, active] - centre[active]) / scale[active]
        found = _regression(standard, targets)
        signed = found[1:] * _SIGNS[active]
        if not (signed < 0).any():
            break
        active[np.flatnonzero(active)[int(signed.argmin())]] = False
    weights[active] = found[1:] / scale[active]
    confidence, entropy, novelty, agreement, apart = (round(float(weight), DIGITS) for weight in weights)
    return Logistic(
        intercept=round(float(found[0] - weights @ centre), DIGITS),
        confidence=confidence,
        entropy=entropy,
        novelty=novelty,
        agreement=agreement,
        neighbour_novelty=apart,
    )


def _regression(columns: Floats, targets: Floats) -> Floats:
    """Return the intercept and the weights by Newton's method; halved steps keep the loss falling."""
    design = np.column_stack((np.ones(len(columns)), columns))
    penalty = np.full(design.shape[1], _PENALTY)
    penalty[0] = 0.0

    def loss(weights: Floats) -> float:
        odds = design @ weights
        return float(np.sum(np.logaddexp(0.0, odds) - targets * odds) + (penalty * weights**2).sum() / 2)

    weights = np.zeros(design.shape[1])
    best = loss(weights)
    for _ in range(_NEWTON_STEPS):
        shown = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        slope = design.T @ (shown - targets) + penalty * weights
        curve = design.T @ (design * (shown * (1 - shown))[:, None]) + np.diag(penalty + _SMALL)
        step = np.linalg.solve(curve, slope)
        share = 1.0
        while (after := loss(weights - share * step)) > best and share > _SMALL:
            share /= 2
        if best - after < _SMALL:
            break
        weights, best = weights - share * step, after
    return np.asarray(weights)


def _of_confidence(fit: Callable[[Floats, Floats], CalibrationMap]) -> Fit:
    def fitted(evidence: Sequence[Evidence], right: Floats) -> CalibrationMap:
        return fit(np.array([one.confidence for one in evidence]), right)

    return fitted


LOGISTIC = "logistic"
ONE_NUMBER: dict[str, Fit] = {"temperature": _of_confidence(fit_temperature), "isotonic": _of_confidence(fit_isotonic)}


def choose_map(evidence: Sequence[Evidence], right: Floats, seed: int = 0) -> Choice:
    """Fit each kind and return the one with the smallest log loss over ``FOLDS`` folds, fitted to everything.

    The logistic map is for answers of which a memory says something. ``evidence`` and ``right`` (1.0 or 0.0) go side by
    side. Raises ValueError for fewer than two answers a fold.
    """
    if len(evidence) < 2 * FOLDS:
        raise ValueError(f"a calibration map needs at least {2 * FOLDS} answers, {len(evidence)} given")
    fits = dict(ONE_NUMBER)
    if any(one.novelty is not None for one in evidence):
        fits[LOGISTIC] = fit_logistic
    fold = np.random.default_rng(seed).permutation(len(evidence)) % FOLDS
    held_out = {name: np.empty(len(evidence)) for name in fits}
    for number in range(FOLDS):
        seen, unseen = np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()
        for name, fit in fits.items():
            made = fit([evidence[place] for place in seen], right[seen])
            held_out[name][unseen] = applied(made, [evidence[place] for place in unseen])
    held_out["none"] = applied(None, evidence)
    losses = {name: log_loss(values, right) for name, values in held_out.items()}
    best = min(fits, key=losses.__getitem__)
    return Choice(
        fits[best](evidence, right),
        losses,
        {name: brier(values, right) for name, values in held_out.items()},
        {name: auroc(values, right) for name, values in held_out.items()},
    )


def applied(calibration: CalibrationMap | None, evidence: Sequence[Evidence]) -> Floats:
    """Return the calibrated probabilities; without a map the confidences as they are."""
    if calibration is None:
        return np.array([one.confidence for one in evidence], dtype=np.float64)
    return np.array([calibration.probability(one) for one in evidence], dtype=np.float64)

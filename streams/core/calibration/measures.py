"""How good confidences are: against what was right, on numpy arrays that go side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15
"""As Guo et al. 2017 use; here each bin holds as many answers as the next."""
_CLIP = 1e-12


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability diagram: how many answers, their mean confidence, the share that is right."""

    answers: int
    confidence: float
    right: float


def reliability(confidence: Floats, right: Floats, bins: int = BINS) -> list[Bin]:
    """Return bins of equal mass from low to high confidence; answers of one confidence are never parted.

    Equal mass rather than equal width: most answers of a good model share the top tenth of the scale, and a bin with
    three answers is noise (Nixon et al. 2019, "Measuring Calibration in Deep Learning").
    """
    if len(confidence) == 0:
        return []
    order = np.argsort(confidence, kind="stable")
    shown, hits = confidence[order], right[order]
    wanted = np.linspace(0, len(shown), min(bins, len(shown)) + 1)[1:-1].astype(np.intp)
    # A cut between equals moves to where they begin.
    cuts = np.unique(np.searchsorted(shown, shown[wanted]))
    parts = zip(np.split(shown, cuts), np.split(hits, cuts), strict=True)
    return [Bin(len(x), float(x.mean()), float(y.mean())) for x, y in parts if len(x)]


def ece(confidence: Floats, right: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error: the bins' gaps between confidence and share right, weighted by answers."""
    found = reliability(confidence, right, bins)
    total = sum(one.answers for one in found)
    return sum(one.answers * abs(one.confidence - one.right) for one in found) / total if total else 0.0


def honest_ece(confidence: Floats, bins: int = BINS, draws: int = 100) -> float:
    """Return the error that so few answers of a perfectly honest model would show by chance, on average."""
    if len(confidence) == 0:
        return 0.0
    chance = np.random.default_rng(0)
    outcomes = (chance.uniform(size=(draws, len(confidence))) < confidence).astype(np.float64)
    return float(np.mean([ece(confidence, right, bins) for right in outcomes]))


def brier(confidence: Floats, right: Floats) -> float:
    """Return the mean squared gap between confidence and outcome (Brier 1950, for "this answer is right")."""
    return float(np.mean((confidence - right) ** 2))


def log_loss(confidence: Floats, right: Floats) -> float:
    """Return the mean negative log likelihood of the outcomes, nats."""
    shown = np.clip(confidence, _CLIP, 1 - _CLIP)
    return float(-np.mean(right * np.log(shown) + (1 - right) * np.log1p(-shown)))


def auroc(confidence: Floats, right: Floats) -> float | None:
    """Return the chance that a right answer is surer than a wrong one (ties count half); None if there is no pair."""
    hits = right > 0.5
    positives, negatives = int(hits.sum()), int((~hits).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    above = float(ranks[place][hits].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def risk_coverage(confidence: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return (coverage, error among the surest answers), one point for each confidence, by rising coverage.

    El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification".
    """
    order = np.argsort(-confidence, kind="stable")
    shown, wrong = confidence[order], np.cumsum(1 - right[order])
    ends = np.flatnonzero(np.append(shown[1:] != shown[:-1], True)) if len(shown) else np.array([], dtype=np.intp)
    taken = ends + 1.0
    return taken / max(1, len(shown)), wrong[ends] / taken

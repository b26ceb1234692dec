"""Notices from the tickets themselves that what comes in, or what is made of it, has changed.

A window of the latest tickets is compared with a fixed reference, measure by measure, at a few moments while the window
passes. A measure has moved if the difference is both large (above a floor that can be set) and beyond chance
(one in a million a look). With thousands of tickets everything differs beyond chance, and small windows differ a lot.

- numbers (input length, confidence, entropy): the two-sample Kolmogorov-Smirnov distance, with its asymptotic p-value
  (Numerical Recipes' form of the finite-sample correction by Stephens 1970);
- labels: half the sum of absolute differences of shares (total variation), with a chi-square test of homogeneity over
  the labels that are common enough for one;
- escalations: the difference of shares, with a two-proportion z-test.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from schemas import Scored, Signal
from streams.core.statistics import chi_square_tail

SIGNIFICANT: Final = 1e-6
"""A difference is beyond chance if chance alone would make it less often than this."""

LOOKS: Final = 4
"""A window is judged this many times while it passes."""

_EXPECTED: Final = 5.0
"""The fewest expected tickets of a label for which the chi-square test holds; rarer ones count together."""


class TrafficLimits(BaseModel):
    """Sizes in tickets, and the least difference of each measure that counts: the ``traffic`` section of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: Annotated[int, Field(ge=100, le=100_000)] = 1000
    window: Annotated[int, Field(ge=100, le=100_000)] = 500
    distance: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Kolmogorov-Smirnov distance of input lengths, confidences and entropies, between 0 and 1."""
    label_shift: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of tickets that have another label than the reference would let one expect."""
    escalation_shift: Annotated[float, Field(gt=0, lt=1)] = 0.10
    """Difference of the shares of tickets that are escalated."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the pipeline sees of one ticket anyway; an answer without a signal has no confidence and no entropy."""

    input_length: int
    confidence: float | None
    entropy: float | None
    label: str | None
    escalated: bool

    @classmethod
    def of(cls, text: str, signal: Signal, *, escalated: bool) -> Sighting:
        """Return the sighting of one answered ticket."""
        scored = signal if isinstance(signal, Scored) else None
        return cls(
            len(text),
            None if scored is None else scored.confidence,
            None if scored is None else scored.entropy,
            signal.label,
            escalated,
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """One measure that moved: the means (or shares of the label that moved most), the difference and its p-value."""

    measure: str
    before: float
    after: float
    difference: float
    p_value: float
    label: str | None = None


class TrafficWatch:
    """Watches one endpoint's traffic. After an alarm, the tickets that follow are the new reference."""

    def __init__(self, limits: TrafficLimits) -> None:
        self._limits = limits
        self._reference: list[Sighting] = []
        self._window: deque[Sighting] = deque(maxlen=limits.window)
        self._since_look = 0

    @property
    def missing(self) -> int:
        """How many tickets are needed before the first look; 0 from then on."""
        limits = self._limits
        return limits.reference - len(self._reference) + limits.window - len(self._window)

    def restart(self) -> None:
        """Let the tickets that follow be the reference."""
        self._reference.clear()
        self._window.clear()
        self._since_look = 0

    def learn(self, sighting: Sighting) -> None:
        """Take a ticket of before this watch began; the next look is at one that comes after."""
        if len(self._reference) < self._limits.reference:
            self._reference.append(sighting)
        else:
            self._window.append(sighting)

    def update(self, sighting: Sighting) -> tuple[Moved, ...]:
        """Take the next ticket; return the measures that moved, the clearest first, at a look that finds any."""
        is_reference = len(self._reference) < self._limits.reference
        self.learn(sighting)
        if is_reference:
            return ()
        self._since_look += 1
        if self.missing or self._since_look < max(1, self._limits.window // LOOKS):
            return ()
        self._since_look = 0
        moved = compare(self._reference, tuple(self._window), self._limits)
        if moved:
            self.restart()
        return moved


def compare(reference: Sequence[Sighting], window: Sequence[Sighting], limits: TrafficLimits) -> tuple[Moved, ...]:
    """Return the measures that differ between two samples of tickets, the clearest first."""
    found = [
        _numbers("input_length", reference, window, limits.distance),
        _numbers("confidence", reference, window, limits.distance),
        _numbers("entropy", reference, window, limits.distance),
        _labels(reference, window, limits.label_shift),
        _escalations(reference, window, limits.escalation_shift),
    ]
    return tuple(sorted((each for each in found if each is not None), key=lambda moved: (moved.p_value, moved.measure)))


def _numbers(measure: str, reference: Sequence[Sighting], window: Sequence[Sighting], floor: float) -> Moved | None:
    before, after = (
        np.sort(np.array([value for each in sample if (value := getattr(each, measure)) is not None], dtype=np.float64))
        for sample in (reference, window)
    )
    if not len(before) or not len(after):
        return None
    points = np.concatenate((before, after))
    below = [np.searchsorted(sample, points, side="right") / len(sample) for sample in (before, after)]
    distance = float(np.abs(below[0] - below[1]).max())
    p_value = _kolmogorov(distance, len(before) * len(after) / (len(before) + len(after)))
    if distance < floor or p_value >= SIGNIFICANT:
        return None
    return Moved(measure, float(before.mean()), float(after.mean()), distance, p_value)


def _labels(reference: Sequence[Sighting], window: Sequence[Sighting], floor: float) -> Moved | None:
    before, after = (Counter(each.label or "" for each in sample) for sample in (reference, window))
    n, m = len(reference), len(window)
    shifts = {label: after[label] / m - before[label] / n for label in before | after}
    difference = sum(map(abs, shifts.values())) / 2
    p_value = _homogeneity(before, after, n, m)
    if difference < floor or p_value >= SIGNIFICANT:
        return None
    most = max(shifts, key=lambda label: (abs(shifts[label]), label))
    return Moved("labels", before[most] / n, after[most] / m, difference, p_value, most)


def _escalations(reference: Sequence[Sighting], window: Sequence[Sighting], floor: float) -> Moved | None:
    n, m = len(reference), len(window)
    before, after = (sum(each.escalated for each in sample) / len(sample) for sample in (reference, window))
    pooled = (before * n + after * m) / (n + m)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    if abs(after - before) < floor or not spread:
        return None
    p_value = math.erfc(abs(after - before) / spread / math.sqrt(2))
    return Moved("escalated", before, after, abs(after - before), p_value) if p_value < SIGNIFICANT else None


def _kolmogorov(distance: float, effective: float) -> float:
    """Return the asymptotic p-value of a two-sample distance at an effective sample size of n*m/(n+m)."""
    root = math.sqrt(effective)
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:
        return 1.0  # the series converges too slowly there, and its sum is 1 to more digits than anybody needs
    terms = (2.0 * (-1.0) ** (j - 1) * math.exp(-2.0 * (j * scaled) ** 2) for j in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))


def _homogeneity(before: Counter[str], after: Counter[str], n: int, m: int) -> float:
    """Return the chi-square p-value that both samples have the same shares; rare labels count as one."""
    rows: list[tuple[int, int]] = []
    rare = [0, 0]
    for label in before | after:
        counts = before[label], after[label]
        if sum(counts) * min(n, m) / (n + m) >= _EXPECTED:
            rows.append(counts)
        else:
            rare = [rare[0] + counts[0], rare[1] + counts[1]]
    if sum(rare):
        rows.append((rare[0], rare[1]))
    if len(rows) < 2:
        return 1.0
    statistic = 0.0
    for counts in rows:
        for count, size in zip(counts, (n, m), strict=True):
            expected = sum(counts) * size / (n + m)
            statistic += (count - expected) ** 2 / expected
    return chi_square_tail(statistic, len(rows) - 1)

"""`lt`: the published rule of Log Probability Tracking (arXiv 2512.03816), made causal.

**Statistic.** T is the union of the tokens of both windows, each row cut to the windows' common k. A token absent from a
row counts with that row's own minimum. The statistic is the mean over T of abs(mean_A - mean_B), in nats.

**Rule.** s_i compares rows [i-24, i) with rows [i, i+24). Mean and population deviation of s are those of the 100 values
s[i-148 .. i-49]. The rule holds if (s_i - mean) / deviation > 12 and s_i > 1.0, both strict; a deviation of zero
counts as infinitely far.

**Choices where the publication is silent or not causal.**

- s_i needs row i+23: it is known, and an alarm is raised, when that row arrives. That row is the alarm's.
- The 148 values before s_i are values of s, and s starts where its first window pair is full (i = 24). So the first
  decision is the 149th value of s: it is known with the 196th usable row.
- Rows that are no samples (errors, no logprobs) are left out before the windows are formed; s is defined on the usable
  rows alone.
- Each s_i is taken at the common k of its own 48 rows. Values of s at different k share a baseline: the rule has no
  reset, and a change of k is reported by its own watcher.
- The publication keeps local maxima at least 24 rows apart, which needs the future. Here the first row that satisfies
  the rule is the alarm, and a cool-down of 48 usable rows follows. After this many no window pair holds rows from both
  sides of the change, so that one change is one alarm.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import numpy as np

from streams.core.drift.judgement import Alarm, Judgement, Kind, NotEnough, Quiet
from streams.core.drift.lt.sliding_statistic import SlidingStatistic
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, censored, common_k, moved_tokens, span, union

WIDTH: Final = 24
BASELINE: Final = 100
GAP: Final = 49
"""The current value and the 48 before it stay out of the baseline: their windows may hold rows after the change."""
EXCEEDANCE: Final = 12.0
FLOOR: Final = 1.0
COOL_DOWN: Final = 2 * WIDTH
INFINITE_SCORE: Final = 1e9
"""What an infinite score is reported as, so that it stays a JSON number."""


def lt_statistic(a: Sequence[ProbeRow], b: Sequence[ProbeRow]) -> float:
    """Mean over the union of tokens of the absolute difference of means, in nats; each sample needs a row."""
    return mean_shift(pooled_matrix(a, b), len(a))


def pooled_matrix(a: Sequence[ProbeRow], b: Sequence[ProbeRow]) -> Matrix:
    """Both samples as (rows, tokens), measured from the first row.

    A difference of means does not see where its rows are measured from; rounding does: a constant endpoint is exactly
    zero, and what is left of any other fits into single precision.
    """
    rows = [*a, *b]
    k = common_k(rows)
    matrix = censored(rows, union(rows, k), k)
    matrix -= matrix[0].copy()
    return matrix


def mean_shift(pooled: Matrix, n_a: int) -> float:
    """Mean over the tokens of the absolute difference of means between the first ``n_a`` rows and the others."""
    return float(np.abs(pooled[:n_a].mean(axis=0) - pooled[n_a:].mean(axis=0)).mean())


def window_alarm(rows: Iterable[ProbeRow], statistic: float, score: float, threshold: float) -> Alarm:
    """The alarm of a detector that compares the two halves of ``rows``."""
    window = list(rows)
    a, b = window[: len(window) // 2], window[len(window) // 2 :]
    return Alarm(Kind.CHANGE, statistic, score, threshold, span(a), span(b), moved_tokens(a, b))


class LtDetector:
    """The causal online rule; ``score`` is (s - mean) / deviation, and ``floor`` the least s that can alarm."""

    name = "lt"

    def __init__(self, floor: float = FLOOR) -> None:
        self._floor = floor
        self._sliding = SlidingStatistic(WIDTH)
        self._history: deque[float] = deque(maxlen=BASELINE + GAP)
        self._cool_down = 0

    def update(self, row: ProbeRow) -> Judgement:
        """Take the next usable row; an alarm belongs to it."""
        self._sliding.push(row)
        if self._sliding.full:
            self._history.append(self._sliding.value)
        if len(self._history) < BASELINE + GAP:
            rows = self._sliding.rows
            seen = len(rows) if not self._history else 2 * WIDTH - 1 + len(self._history)
            return NotEnough(seen, 2 * WIDTH - 1 + BASELINE + GAP)
        s = self._history[-1]
        baseline = np.fromiter(islice(self._history, BASELINE), dtype=np.float64, count=BASELINE)
        mean, deviation = float(baseline.mean()), float(baseline.std())
        score = _exceedance(s - mean, deviation)
        threshold = max(self._floor, mean + EXCEEDANCE * deviation)
        if self._cool_down:
            self._cool_down -= 1
            return Quiet(s, score, threshold)
        if score > EXCEEDANCE and s > self._floor:
            self._cool_down = COOL_DOWN
            return window_alarm(self._sliding.rows, s, score, threshold)
        return Quiet(s, score, threshold)


def _exceedance(distance: float, deviation: float) -> float:
    if deviation > 0.0:
        return max(-INFINITE_SCORE, min(INFINITE_SCORE, distance / deviation))
    return math.copysign(INFINITE_SCORE, distance) if distance else 0.0

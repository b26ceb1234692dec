"""A provisional reference: the rows since a change, from the ninth on, until they are enough for a complete one.

**Statistic.** The mean of the last 3 to 8 rows less the mean of the rows before them, of which there are 6 to 24: a step.
It is whitened by the covariance that the last complete reference's rows have over the tokens listed now. Reported is the
split whose step is nearest to its threshold.

**Threshold.** That of Gaussian noise with the complete reference's serial correlation (`step_variance`), times
``1 + FEW / n`` for ``n`` rows before the step: two thirds wider at 6 rows, a sixth at 24. It rises with the noise of the
rows since the change, if that is larger than the complete reference's.

**What is no step.** A row that stands among the rows before to the last digit is no news, and each row of a step must show
a share of it (``SUPPORT``): outliers are no step. A slow movement is none either: most of a step lies between the three
rows on either side of it (``AT_ONCE``), and the rows before it were not on their way (``ON_ITS_WAY``). So what settles slowly
after a change is not alarmed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from streams.core.drift.judgement import Alarm, Kind
from streams.core.drift.lt_ref.baseline import Baseline, fit_baseline
from streams.core.drift.lt_ref.bootstrap import JOINTS
from streams.core.drift.lt_ref.compared import Compared, Comparison, common_depth, is_match, reaching, step_variance
from streams.core.drift.lt_ref.jump import WINDOW
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, length, moved_tokens, span
from streams.core.statistics import chi_square_quantile

FEWEST: Final = 6
"""Rows before a step: two times three, so that the last three can be told from those before."""

MOST: Final = 24
"""Rows before a step at most: what has settled since is forgotten."""

LONGEST: Final = 8
"""Rows of a step at most."""

FEW: Final = 4.0
"""Rows that are lacking, as it were: what a threshold that no bootstrap has drawn is raised for."""

SUPPORT: Final = 0.5
"""Share of the step that each of its rows must show by itself. With less, one row of another model and two noisy ones
would be a step too early, and be like neither model. Half of the rows before must show it, too: where one of them is an
outlier, the way back from it is no step."""

AT_ONCE: Final = 0.7
"""Share of the step that must lie between the three rows before it and its first three."""

ON_ITS_WAY: Final = 0.3
"""Share of the step by which the three rows before it may have moved from the three before those."""

REFITS: Final = (6, 12, 24, 48)
"""Numbers of rows at which the tokens that count are chosen again."""


NEIGHBOURS: Final = 0.75
"""Quantile of the distances between neighbouring rows that says how noisy they are."""

NO_NEWS: Final = 0.01
"""Whitened distance under which two rows are the same row."""


class ProvisionalReference:
    """The rows since a change; ``noise`` are the rows of the last complete reference.

    ``k`` is the endpoint's settled number of tokens, None if none is settled yet.
    """

    def __init__(
        self, rows: Iterable[ProbeRow], noise: Sequence[ProbeRow], k: int | None, false_alarm_rate: float
    ) -> None:
        self.rows = list(rows)
        self.noise = noise
        self._false_alarm_rate = false_alarm_rate
        self._baseline: Baseline | None = None
        self._whitened: list[Matrix] = []
        self._after = 0
        self.fit(k)

    def fit(self, k: int | None) -> None:
        """Choose the tokens again, at the largest k that the rows and the endpoint reach."""
        self._k = k
        if len(self.rows) < FEWEST:
            return
        depth = common_depth(self.rows, k)
        self.rows = reaching(self.rows, depth)
        self._baseline, _ = fit_baseline(self.rows, depth, self.noise)
        self._whitened = list(self._baseline.whitened(self.rows))

    def comparable(self, row: ProbeRow) -> bool:
        """Whether the row lists enough tokens to be compared."""
        return self._baseline is None or self._baseline.comparable(row)

    def update(self, row: ProbeRow) -> Comparison | None:
        """Compare the next row, which is comparable; None while there are too few."""
        self.rows.append(row)
        if self._baseline is None or len(self.rows) in REFITS:
            self.fit(self._k)
        else:
            self._whitened.append(self._baseline.whitened([row])[0])
        if self._baseline is None or len(self._whitened) < FEWEST + WINDOW:
            return None
        return self._compare(np.stack(self._whitened), self._baseline.rho)

    def _compare(self, rows: Matrix, rho: float) -> Comparison:
        """Compare the step that is nearest to its threshold, one of zero if none of them is a step."""
        noisier = larger_noise(rows, rho)
        splits = [
            (rows[-after - MOST : -after], rows[-after:])
            for after in range(WINDOW, min(LONGEST, len(rows) - FEWEST) + 1)
        ]
        limits = [
            noisier * step_threshold(len(before), len(after), rho, rows.shape[1], self._false_alarm_rate)
            for before, after in splits
        ]

        def steps() -> list[Compared]:
            return [Compared(length(step(*split)), limit) for split, limit in zip(splits, limits, strict=True)]

        # Mostly no difference of means is long enough, and nobody asks whether it is a step.
        if all(length(difference(*split)) <= limit for split, limit in zip(splits, limits, strict=True)):
            return Comparison(False, lambda: max(steps(), key=lambda each: each.score))
        found = steps()
        nearest = max(found, key=lambda each: each.score)
        self._after = WINDOW + found.index(nearest)
        return Comparison(nearest.score > 1.0, lambda: nearest)

    def alarm(self, comparison: Comparison) -> tuple[Alarm, list[ProbeRow]]:
        """The alarm of the latest row, and the rows since the change; those are then forgotten here."""
        before, after = self.rows[: -self._after], self.rows[-self._after :]
        del self.rows[-self._after :], self._whitened[-self._after :]
        moved = moved_tokens(before[-MOST:], after)
        return comparison.alarm(Kind.CHANGE, span(before), span(after), moved), after

    def matches(self, rows: Sequence[ProbeRow]) -> bool:
        """Whether rows in succession look like those since the change."""
        baseline = self._baseline
        comparable = [row for row in rows if self.comparable(row)]
        if baseline is None or not comparable:
            return False
        known = np.stack(self._whitened[-MOST:])
        deviations = baseline.whitened(comparable) - known.mean(axis=0)
        return is_match(deviations, len(known), baseline.rho, self._false_alarm_rate, 1.0 + FEW / len(known))

    def is_back(self, rows: Sequence[ProbeRow]) -> bool:
        """Whether rows of a whole trial look like those since the change."""
        return self.matches(rows)

    def resume(self, rows: Sequence[ProbeRow]) -> None:
        """Go on with rows that match."""
        self.rows += [row for row in rows if self.comparable(row)]
        self.fit(self._k)


def difference(before: Matrix, after: Matrix) -> Matrix:
    """The difference between the means of whitened rows (rows, d)."""
    moved: Matrix = after.mean(axis=0) - before.mean(axis=0)
    return moved


def step(before: Matrix, after: Matrix) -> Matrix:
    """The difference between the means of whitened rows (rows, d); zero if the rows do not bear out a step."""
    mean, moved = before.mean(axis=0), difference(before, after)
    size, last = float(moved @ moved), before[-WINDOW:].mean(axis=0)
    apart = np.linalg.norm(after[-WINDOW:, None] - before, axis=2).min(axis=1)
    is_step = (
        float(apart.min()) > NO_NEWS
        and float(((after - mean) @ moved).min()) >= SUPPORT * size
        and float(np.median((after.mean(axis=0) - before) @ moved)) >= SUPPORT * size
        and float((after[:WINDOW].mean(axis=0) - last) @ moved) >= AT_ONCE * size
        and float((last - before[-2 * WINDOW : -WINDOW].mean(axis=0)) @ moved) <= ON_ITS_WAY * size
    )
    return moved if is_step else np.zeros_like(moved)


@lru_cache(maxsize=10_000)
def step_threshold(before: int, after: int, rho: float, d: int, false_alarm_rate: float) -> float:
    """The norm that the step between this many whitened rows must pass."""
    variance = step_variance(before, after, rho)
    return JOINTS * (1.0 + FEW / before) * math.sqrt(variance * chi_square_quantile(false_alarm_rate, d))


def larger_noise(rows: Matrix, rho: float) -> float:
    """How much noisier these whitened rows (rows, d) are than unit variance, 1 at least.

    From a high quantile of the distances between neighbours, which neither a step nor a slow movement changes much. Half of
    a second serving mode's rows, or more, have a neighbour of the other mode.
    """
    neighbours = np.diff(rows, axis=0)
    ordinary = 2.0 * (1.0 - rho) * chi_square_quantile(1.0 - NEIGHBOURS, rows.shape[1])
    return max(1.0, math.sqrt(float(np.quantile(np.einsum("rd,rd->r", neighbours, neighbours), NEIGHBOURS)) / ordinary))

"""What a reference says about a row, and how far the means of its rows may be apart by chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from streams.core.drift.judgement import Alarm, Kind, Moved, Quiet, QuietUnmeasured, Span
from streams.core.drift.lt_ref.bootstrap import JOINTS
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, length, same_k
from streams.core.statistics import chi_square_quantile

REACHED_BY: Final = 0.9
"""The reference's k is one that nine in ten of its rows reach; a few short rows must not cut all the others."""

DEEPEST: Final = 20
"""Tokens of a row that count, as many as APIs list: the covariance of more cannot be told from so few rows."""


ENOUGH: Final = 4
"""Rows of which one may be left out."""


class Compared(NamedTuple):
    """A statistic and the threshold that it would have to pass."""

    statistic: float
    threshold: float

    @property
    def score(self) -> float:
        """The statistic over its threshold: anything above 1 alarms."""
        return self.statistic / self.threshold

    def quiet(self) -> Quiet:
        """The judgement that this row is no alarm."""
        return Quiet(self.statistic, self.score, self.threshold)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row compared with a reference: whether a statistic passes its threshold, and by what measure.

    That none does is mostly known before either is computed to the end, which is done when it is asked for.
    """

    passes: bool
    measure: Callable[[], Compared]

    def quiet(self) -> Quiet:
        """The judgement that this row is no alarm."""
        return QuietUnmeasured(lambda: self.measure().quiet())

    def alarm(self, kind: Kind, before: Span, after: Span, moved: tuple[Moved, ...]) -> Alarm:
        """The judgement that it is one."""
        compared = self.measure()
        return Alarm(kind, compared.statistic, compared.score, compared.threshold, before, after, moved)


def common_depth(rows: Sequence[ProbeRow], k: int | None) -> int:
    """The largest k, up to ``DEEPEST``, that nearly all of these rows and a settled ``k`` reach."""
    reached = sorted((row.k for row in rows), reverse=True)[max(1, int(REACHED_BY * len(rows))) - 1]
    return min(reached, reached if k is None else k, DEEPEST)


def reaching(rows: Iterable[ProbeRow], k: int) -> list[ProbeRow]:
    """The rows that are not too short for ``k``."""
    return [row for row in rows if row.k >= k or same_k(row.k, k)]


def step_variance(before: int, after: int, rho: float) -> float:
    """Variance of the difference between the means of ``before`` rows and the ``after`` rows that follow them.

    Each row has unit variance and AR(1) correlation ``rho``.
    """
    weights = np.concatenate((np.full(before, -1.0 / before), np.full(after, 1.0 / after)))
    places = np.arange(before + after)
    return float(weights @ rho ** np.abs(places[:, None] - places) @ weights)


def is_match(deviations: Matrix, reference: int, rho: float, false_alarm_rate: float, wider: float) -> bool:
    """Whether the mean of whitened rows (rows, d) is no further from a reference's than chance takes it.

    ``reference`` is the number of the reference's rows; by the factor ``wider`` chance may go further than Gaussian noise
    whose covariance is known. Of several rows the farthest does not count: it may be of a rare serving mode.
    """
    if len(deviations) >= ENOUGH:
        farthest_row = int(np.einsum("rd,rd->r", deviations, deviations).argmax())
        deviations = np.delete(deviations, farthest_row, axis=0)
    rows, d = deviations.shape
    variance = step_variance(reference, rows, rho)
    farthest = wider * JOINTS * math.sqrt(variance * chi_square_quantile(false_alarm_rate, d))
    return length(deviations.mean(axis=0)) <= farthest

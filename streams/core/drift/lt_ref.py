"""`lt-ref`: every row against a fixed reference, with a threshold of the endpoint's own.

**Reference.** The first 100 usable rows; decisions begin with the next one. While the endpoint stays quiet it grows to 200
with rows that are at least 24 rows old, so that a movement under way does not enter its own baseline, and is refitted
at 150 and 200. Then it is fixed: a slow movement adds up against it.

**Statistic.** Rows are whitened by the reference's mean and shrunk covariance (Mahalanobis) and averaged exponentially
(MEWMA), at the rates 0.1 for small changes and 0.3 for larger ones. The statistic is the norm of the average that is
nearest to its threshold, the score their ratio.

**Persistence.** A row's whitened deviation is cut to the length at which three rows in a row, all the same way, just pass
the threshold from rest. No one or two outliers alarm, however wild. Three is the least run that a serving mode which a
reference of 100 rows never showed (so most likely under 3 % of rows) makes less often than the false-alarm rate.

**After an alarm** the reference is collected anew from the rows that follow; no further alarm is possible before it is
complete. A reference collected across a change holds both sides and is blind to that change.

**Changes of k.** Reference and rows are compared at the largest k that both reach; when another k has settled, the
reference is refitted at it. Rows that are shorter before that are no samples (``few_tokens``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from streams.core.drift.baseline import Baseline, fit_baseline
from streams.core.drift.bootstrap import ewma_thresholds
from streams.core.drift.movement import name_movement
from streams.core.drift.row import ProbeRow
from streams.core.drift.settled import Settled
from streams.core.drift.verdict import Alarm, NotEnough, Quiet, Reason, Unusable, Verdict
from streams.core.drift.window import Matrix, moved_tokens, row_from_state, row_state, same_k, span

RATES: Final = (0.1, 0.3)
FIRST_FIT: Final = 100
REFITS: Final = (150, 200)
GUARD: Final = 24
MEMORY: Final = 96
"""Recent rows kept to say when a movement began and whether it was sudden."""

PERSISTENCE: Final = 3
SAME_WAY: Final = 1.1
"""Rows of a real change agree in direction only nearly; a tenth more length lets three of them still suffice."""

REACHED_BY: Final = 0.9
"""The reference's k is one that nine in ten of its rows reach; a few short rows must not cut all the others."""

FALSE_ALARM_RATE: Final = 1e-4
"""Alarms per row of a quiet endpoint that the thresholds aim at."""

SEED: Final = 0
"""The bootstrap draws the same resamples every time: the same rows give the same thresholds on every worker."""


class LtRefDetector:
    """The reference detector; ``score`` is the statistic over its threshold, so that 1 alarms."""

    name = "lt-ref"

    def __init__(self, false_alarm_rate: float = FALSE_ALARM_RATE) -> None:
        self._false_alarm_rate = false_alarm_rate
        self._k: Settled[int] = Settled(same_k)
        self._start_over()

    def _start_over(self) -> None:
        self._reference: list[ProbeRow] = []
        self._recent: deque[ProbeRow] = deque(maxlen=MEMORY)
        self._baseline: Baseline | None = None
        self._thresholds: list[float] = []
        self._averages: Matrix = np.zeros((len(RATES), 0))

    def update(self, row: ProbeRow) -> Verdict:
        """Take the next usable row; an alarm belongs to it."""
        if self._k.update(row.k) and self._baseline:
            self._fit()
        if self._baseline is None:
            self._reference.append(row)
            if len(self._reference) == FIRST_FIT:
                self._fit()
            return NotEnough(len(self._reference), FIRST_FIT + 1)
        if not self._baseline.comparable(row):
            return Unusable(Reason.FEW_TOKENS, row.at)
        self._grow()
        self._recent.append(row)
        return self._decide(self._baseline)

    def _grow(self) -> None:
        if len(self._reference) < REFITS[-1] and len(self._recent) >= GUARD:
            self._reference.append(self._recent[-GUARD])
            if len(self._reference) in REFITS:
                self._fit()

    def _fit(self) -> None:
        """Fit the reference at the largest k that it and the endpoint reach, then take up the latest rows again."""
        self._baseline, features = fit_baseline(*self._reference_at_common_k())
        self._thresholds = ewma_thresholds(features, RATES, self._false_alarm_rate, SEED)
        self._averages = np.zeros((len(RATES), features.shape[1]))
        latest = list(self._recent)[1 - GUARD :]
        for deviation in self._baseline.deviations(self._comparable(latest)):
            self._average(deviation)

    def _reference_at_common_k(self) -> tuple[list[ProbeRow], int]:
        reached = sorted((row.k for row in self._reference), reverse=True)[int(REACHED_BY * len(self._reference)) - 1]
        k = reached if self._k.value is None else min(reached, self._k.value)
        return [row for row in self._reference if row.k >= k or same_k(row.k, k)], k

    def _decide(self, baseline: Baseline) -> Verdict:
        self._average(baseline.deviations([self._recent[-1]])[0])
        norms = np.linalg.norm(self._averages, axis=1)
        scores = norms / self._thresholds
        nearest = int(np.argmax(scores))
        statistic, score = float(norms[nearest]), float(scores[nearest])
        if score <= 1.0:
            return Quiet(statistic, score)
        alarm = self._alarm(baseline, statistic, score, nearest)
        self._start_over()
        return alarm

    def _average(self, deviation: Matrix) -> None:
        """Take one whitened row into the averages, cut to what persistence allows."""
        length = float(np.linalg.norm(deviation))
        for average, rate, threshold in zip(self._averages, RATES, self._thresholds, strict=True):
            longest = SAME_WAY * threshold / (1.0 - (1.0 - rate) ** PERSISTENCE)
            average += rate * (deviation * min(1.0, longest / length if length else 1.0) - average)

    def _alarm(self, baseline: Baseline, statistic: float, score: float, nearest: int) -> Alarm:
        recent, reference = self._comparable(self._recent), self._comparable(self._reference)
        movement = name_movement(
            baseline.deviations(recent), self._averages[nearest], baseline.whitened(reference)
        )
        after = recent[-movement.rows :]
        return Alarm(
            movement.kind,
            statistic,
            score,
            self._thresholds[nearest],
            span(reference),
            span(after),
            moved_tokens(reference, after),
        )

    def _comparable(self, rows: Iterable[ProbeRow]) -> list[ProbeRow]:
        return [row for row in rows if self._baseline and self._baseline.comparable(row)]

    def snapshot(self) -> dict[str, Any]:
        """Everything a restored detector needs for the same future verdicts, as plain JSON values.

        The thresholds are in it, because the bootstrap costs tens of milliseconds; mean and whitening follow from the rows.
        """
        return {
            "false_alarm_rate": self._false_alarm_rate,
            "k": self._k.snapshot(),
            "reference": [row_state(row) for row in self._reference],
            "recent": [row_state(row) for row in self._recent],
            "thresholds": self._thresholds,
            "averages": self._averages.tolist(),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> LtRefDetector:
        """The detector that ``snapshot`` described."""
        detector = cls(state["false_alarm_rate"])
        detector._k.load(state["k"])
        detector._reference = [row_from_state(row) for row in state["reference"]]
        detector._recent.extend(row_from_state(row) for row in state["recent"])
        if state["thresholds"]:
            detector._thresholds = list(state["thresholds"])
            detector._averages = np.array(state["averages"])
            detector._baseline, _ = fit_baseline(*detector._reference_at_common_k())
        return detector

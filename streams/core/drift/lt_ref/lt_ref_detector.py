"""`lt-ref`: every row against a fixed reference, with thresholds for each endpoint.

**Reference.** The first 100 usable rows; decisions begin with the next one. While the endpoint stays quiet it grows to
200 rows and is refitted at 150 and 200. Only rows that are at least 24 rows old enter it, so that a movement under way
does not enter its own baseline. Then it is fixed: a slow movement adds up against it.

**Statistics.** Rows are whitened by the reference's mean and shrunk covariance (Mahalanobis). Their moving average
(`mewma`) sees small and slow movements, the jump between three rows and the one before (`jump`) sudden ones in
correlated noise. Each has its threshold from the block bootstrap (`bootstrap`). Reported is the one nearer to its
threshold; the score is their ratio.

**Persistence.** No fewer than three rows can alarm, however wild: rows enter the average cut to a length, and each of
a jump's rows must show it.

**After an alarm** comes a cool-down of 24 rows. If the rows are back at the reference by its end, it stays: a glitch,
or a false alarm. Otherwise the reference is collected again, from the row after the alarm on, and no further alarm is
possible before it is complete. A reference collected across a change holds both sides and is blind to that change.

**Changes of k.** Reference and rows are compared at the largest k that both reach; when another k has settled, the
reference is refitted at it. Rows that are shorter before that are no samples (``few_tokens``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import numpy as np

from streams.core.drift.judgement import Alarm, Judgement, NotEnough, Quiet
from streams.core.drift.lt_ref.baseline import Baseline, fit_baseline
from streams.core.drift.lt_ref.bootstrap import Thresholds, bootstrap_thresholds
from streams.core.drift.lt_ref.jump import WINDOW, jump
from streams.core.drift.lt_ref.mewma import next_average
from streams.core.drift.lt_ref.movement import name_movement
from streams.core.drift.row import ProbeRow, Reason, Unusable
from streams.core.drift.settled import Settled
from streams.core.drift.window import Matrix, moved_tokens, same_k, span

FIRST_FIT: Final = 100
REFITS: Final = (150, 200)
GUARD: Final = 24
MEMORY: Final = 96
"""Recent rows kept to say when a movement began and whether it was sudden."""

COOL_DOWN: Final = 24
RETURNED: Final = 0.8
"""Share of its threshold to which the average falls within a cool-down on a quiet endpoint, seldom on a changed one."""

REACHED_BY: Final = 0.9
"""The reference's k is one that nine in ten of its rows reach; a few short rows must not cut all the others."""

DEEPEST: Final = 20
"""Tokens of a row that count, as many as APIs list: the covariance of more cannot be told from so few rows."""

FALSE_ALARM_RATE: Final = 1e-4
"""Alarms per row of a quiet endpoint that the thresholds aim at."""


class LtRefDetector:
    """The reference detector; ``score`` is a statistic over its threshold, so that anything above 1 alarms."""

    name = "lt-ref"

    def __init__(self, false_alarm_rate: float = FALSE_ALARM_RATE) -> None:
        self._false_alarm_rate = false_alarm_rate
        self._k: Settled[int] = Settled(same_k)
        self._start_over()

    def _start_over(self, rows: Iterable[ProbeRow] = ()) -> None:
        self._reference = list(rows)
        self._baseline: Baseline | None = None
        self._thresholds = Thresholds(0.0, 0.0)
        self._recent: deque[ProbeRow] = deque(maxlen=MEMORY)
        self._latest: deque[Matrix] = deque(maxlen=WINDOW + 1)
        self._average: Matrix = np.zeros(0)
        self._cool_down = 0

    def update(self, row: ProbeRow) -> Judgement:
        """Take the next usable row; an alarm belongs to it."""
        if self._k.update(row.k) and self._baseline:
            self._fit()
        if self._baseline is None:
            self._reference.append(row)
            if len(self._reference) == FIRST_FIT:
                self._fit()
            return NotEnough(len(self._reference), FIRST_FIT + 1)
        if not self._baseline.comparable(row):
            return Unusable(Reason.FEW_TOKENS, row.facts)
        if not self._cool_down:
            self._grow()
        return self._decide(self._baseline, row)

    def _grow(self) -> None:
        if len(self._reference) < REFITS[-1] and len(self._recent) >= GUARD:
            self._reference.append(self._recent[-GUARD])
            if len(self._reference) in REFITS:
                self._fit()

    def _fit(self) -> None:
        """Fit the reference at the largest k that it and the endpoint reach, then take up the latest rows again."""
        self._baseline, features = fit_baseline(*self._rows_to_fit())
        self._thresholds = bootstrap_thresholds(features, self._baseline.rho, self._false_alarm_rate)
        self._average = np.zeros(features.shape[1])
        self._latest.clear()
        for row in self._comparable(self._baseline, list(self._recent)[1 - GUARD :]):
            self._take(self._baseline, row)

    def _rows_to_fit(self) -> tuple[list[ProbeRow], int]:
        """The reference's rows and their k; rows too short for it are left out."""
        rows = self._reference
        reached = sorted((row.k for row in rows), reverse=True)[int(REACHED_BY * len(rows)) - 1]
        k = min(reached, reached if self._k.value is None else self._k.value, DEEPEST)
        return [row for row in rows if row.k >= k or same_k(row.k, k)], k

    def _take(self, baseline: Baseline, row: ProbeRow) -> None:
        deviation = baseline.deviations([row])[0]
        self._latest.append(deviation)
        self._average = next_average(self._average, deviation, self._thresholds.average)

    def _decide(self, baseline: Baseline, row: ProbeRow) -> Judgement:
        self._recent.append(row)
        self._take(baseline, row)
        full = len(self._latest) > WINDOW
        moved = jump(self._latest, baseline.rho) if full else np.zeros_like(self._average)
        threshold, direction = max(
            (self._thresholds.average, self._average),
            (self._thresholds.jump, moved),
            key=lambda pair: float(np.linalg.norm(pair[1])) / pair[0],
        )
        statistic = float(np.linalg.norm(direction))
        quiet = Quiet(statistic, statistic / threshold, threshold)
        if self._cool_down:
            self._cool()
            return quiet
        if statistic <= threshold:
            return quiet
        alarm = self._alarm(baseline, statistic, threshold, direction)
        self._cool_down = COOL_DOWN
        self._recent.clear()
        return alarm

    def _cool(self) -> None:
        """One row of the cool-down; at its end the old reference stays if the rows came back to it."""
        self._cool_down -= 1
        if self._cool_down == 0:
            if float(np.linalg.norm(self._average)) > RETURNED * self._thresholds.average:
                self._start_over(self._recent)
            self._recent.clear()

    def _alarm(self, baseline: Baseline, statistic: float, threshold: float, direction: Matrix) -> Alarm:
        recent = self._comparable(baseline, self._recent)
        reference = self._comparable(baseline, self._reference)
        movement = name_movement(baseline.deviations(recent), direction, baseline.whitened(reference))
        after = recent[-movement.rows :]
        return Alarm(
            movement.kind,
            statistic,
            statistic / threshold,
            threshold,
            span(reference),
            span(after),
            moved_tokens(reference, after),
        )

    @staticmethod
    def _comparable(baseline: Baseline, rows: Iterable[ProbeRow]) -> list[ProbeRow]:
        return [row for row in rows if baseline.comparable(row)]

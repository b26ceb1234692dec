"""A complete reference, and every row against it: its average, its jumps, and the alarm that either raises.

**Reference.** 100 rows at first. While the endpoint stays quiet it grows to 200 rows and is refitted at 150 and 200. Only
rows that are at least 24 rows old enter it, so that a movement under way does not enter its own baseline. Then it is fixed: a
slow movement adds up against it.

**Statistics.** Rows are whitened by the reference's mean and shrunk covariance (Mahalanobis). Their moving average
(`mewma`) sees small and slow movements, the jump between three rows and the one before (`jump`) sudden ones in
correlated noise. Each has its threshold from the block bootstrap (`bootstrap`). Reported is the one nearer to its
threshold.

**Persistence.** No fewer than three rows can alarm, however wild: rows enter the average cut to a length, and each of
a jump's rows must show it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from streams.core.drift.judgement import Alarm
from streams.core.drift.lt_ref.baseline import fit_baseline
from streams.core.drift.lt_ref.bootstrap import EndpointThresholds
from streams.core.drift.lt_ref.compared import Compared, Comparison, common_depth, is_match, reaching
from streams.core.drift.lt_ref.jump import WINDOW, jump, unsupported_jump
from streams.core.drift.lt_ref.mewma import longest_row, next_average
from streams.core.drift.lt_ref.movement import name_movement
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, length, moved_tokens, span

FIRST_FIT: Final = 100
REFITS: Final = (150, 200)
GUARD: Final = 24
MEMORY: Final = 96
"""Recent rows kept to say when a movement began and whether it was sudden."""

RETURNED: Final = 0.8
"""Share of its threshold to which the average falls within a cool-down on a quiet endpoint, seldom on a changed one."""


class FixedReference:
    """A reference of at least ``FIRST_FIT`` rows and the rows that follow it.

    ``k`` is the endpoint's settled number of tokens, None if none is settled yet.
    """

    def __init__(self, rows: Iterable[ProbeRow], k: int | None, false_alarm_rate: float) -> None:
        self.rows = list(rows)
        self.recent: deque[ProbeRow] = deque(maxlen=MEMORY)
        self._false_alarm_rate = false_alarm_rate
        self._latest: deque[Matrix] = deque(maxlen=WINDOW + 1)
        self.fit(k)

    def fit(self, k: int | None) -> None:
        """Fit the reference at the largest k that it and the endpoint reach, then take up the latest rows again."""
        self._k = k
        depth = common_depth(self.rows, k)
        self._baseline, features = fit_baseline(reaching(self.rows, depth), depth)
        self._thresholds = EndpointThresholds(
            features, self._baseline.modes, self._baseline.rho, self._false_alarm_rate, self._baseline.least
        )
        self._begin(features.shape[1], list(self.recent)[1 - GUARD :])

    def _begin(self, features: int, rows: Iterable[ProbeRow]) -> None:
        self._average = np.zeros(features)
        self._latest.clear()
        for row in self._comparable(rows):
            self._take(row)

    def comparable(self, row: ProbeRow) -> bool:
        """Whether the row lists enough tokens to be compared."""
        return self._baseline.comparable(row)

    def update(self, row: ProbeRow) -> Comparison:
        """Compare the next row, which is comparable."""
        self._grow()
        self.recent.append(row)
        self._take(row)
        average, latest, rho, thresholds = self._average, tuple(self._latest), self._baseline.rho, self._thresholds
        before, *window = latest
        is_quiet = length(average) <= thresholds.floor.average and (
            len(window) < WINDOW or length(unsupported_jump(before, window, rho)) <= thresholds.floor.jump
        )
        if is_quiet:
            return Comparison(False, lambda: _nearest(average, latest, rho, thresholds)[0])
        compared, self._direction = _nearest(average, latest, rho, thresholds)
        return Comparison(compared.score > 1.0, lambda: compared)

    def _grow(self) -> None:
        if len(self.rows) < REFITS[-1] and len(self.recent) >= GUARD:
            self.rows.append(self.recent[-GUARD])
            if len(self.rows) in REFITS:
                self.fit(self._k)

    def _take(self, row: ProbeRow) -> None:
        deviation = self._baseline.deviations([row])[0]
        self._latest.append(deviation)
        floor = self._thresholds.floor.average
        is_cut = length(deviation) > longest_row(floor)
        self._average = next_average(self._average, deviation, self._thresholds.exact.average if is_cut else floor)

    def alarm(self, comparison: Comparison) -> tuple[Alarm, list[ProbeRow]]:
        """The alarm of the latest row, and the rows since the change; the movement's rows are then forgotten."""
        recent, reference = self._comparable(self.recent), self._comparable(self.rows)
        deviations = self._baseline.deviations(recent)
        movement = name_movement(deviations, self._direction, self._baseline.whitened(reference))
        after = recent[-movement.rows :]
        self.recent.clear()
        moved = moved_tokens(reference, after)
        return comparison.alarm(movement.kind, span(reference), span(after), moved), after

    def is_back(self, rows: Sequence[ProbeRow]) -> bool:
        """Whether the average has come back from beyond its threshold by the end of a trial."""
        del rows
        return length(self._average) <= RETURNED * self._thresholds.exact.average

    def matches(self, rows: Sequence[ProbeRow]) -> bool:
        """Whether rows in succession look like the reference's own."""
        comparable = self._comparable(rows)
        deviations = self._baseline.deviations(comparable)
        if not comparable:
            return False
        # What estimating mean and covariance from these rows costs, as the bootstrap has found it.
        wider = self._thresholds.exact.average / self._thresholds.floor.average
        return is_match(deviations, len(self.rows), self._baseline.rho, self._false_alarm_rate, wider)

    def resume(self, rows: Sequence[ProbeRow]) -> None:
        """Go on from rest with rows that match."""
        self.recent.clear()
        self._begin(len(self._average), rows)

    def _comparable(self, rows: Iterable[ProbeRow]) -> list[ProbeRow]:
        return [row for row in rows if self._baseline.comparable(row)]


def _nearest(
    average: Matrix, latest: Sequence[Matrix], rho: float, thresholds: EndpointThresholds
) -> tuple[Compared, Matrix]:
    """Of average and jump the one that is nearer to its threshold, and its direction."""
    moved = jump(latest, rho) if len(latest) > WINDOW else np.zeros_like(average)
    threshold, direction = max(
        (thresholds.exact.average, average),
        (thresholds.exact.jump, moved),
        key=lambda pair: length(pair[1]) / pair[0],
    )
    return Compared(length(direction), threshold), direction

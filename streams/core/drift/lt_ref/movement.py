"""Names a movement that has already raised an alarm: a sudden change, or a slow drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.core.drift.judgement import Kind
from streams.core.drift.lt_ref.serial_correlation import serial_correlation
from streams.core.drift.window import Matrix

SHORTEST_DRIFT: Final = 8
"""Rows. A shorter movement is called sudden: no one could tell the difference from so few rows."""

MARGIN: Final = 2.0
"""How much better the ramp must fit, in residual variances: in doubt a movement is called a change."""


@dataclass(frozen=True, slots=True)
class Movement:
    """What a movement was, and how many rows ago it began."""

    kind: Kind
    rows: int


def name_movement(recent: Matrix, direction: Matrix, reference: Matrix) -> Movement:
    """Compare a step and a ramp along ``direction``, for every row of ``recent`` at which either may have begun.

    All are whitened deviations: ``recent`` (rows, d) up to the alarm, ``reference`` (rows, d) for the serial correlation
    that both fits allow for, by generalised least squares with an AR(1) error. Without that, correlated noise before a
    step looks like the start of a ramp.
    """
    unit = direction / np.linalg.norm(direction)
    rho = serial_correlation(reference @ unit)
    series = _innovations(recent @ unit, rho)
    total = float(series @ series)
    n = len(series)
    best = {Kind.CHANGE: (np.inf, 1), Kind.DRIFT: (np.inf, 1)}
    for length in range(1, n + 1):
        ramp = np.concatenate((np.zeros(n - length), np.arange(1.0, length + 1.0)))
        for kind, shape in ((Kind.CHANGE, np.minimum(ramp, 1.0)), (Kind.DRIFT, ramp)):
            regressor = _innovations(shape, rho)
            residual = total - float(series @ regressor) ** 2 / float(regressor @ regressor)
            if residual < best[kind][0]:
                best[kind] = (residual, length)
    step, ramp_fit = best[Kind.CHANGE], best[Kind.DRIFT]
    variance = max(ramp_fit[0], 0.0) / max(n - 2, 1)
    if ramp_fit[1] >= SHORTEST_DRIFT and step[0] - ramp_fit[0] > MARGIN * variance:
        return Movement(Kind.DRIFT, ramp_fit[1])
    return Movement(Kind.CHANGE, step[1])


def _innovations(series: Matrix, rho: float) -> Matrix:
    innovations = series.copy()
    innovations[1:] -= rho * series[:-1]
    return innovations

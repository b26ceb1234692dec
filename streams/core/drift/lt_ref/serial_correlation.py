"""Serial correlation of an endpoint's rows: how much of one row's deviation is still there in the next."""

from __future__ import annotations

from typing import Final

from streams.core.drift.window import Matrix

LARGEST: Final = 0.9
"""More than this cannot be told from a movement in 100 rows."""


def serial_correlation(deviations: Matrix) -> float:
    """The lag-one correlation of deviations (rows, d) from their own mean, pooled over d, between 0 and ``LARGEST``.

    Corrected for the bias of a short series (Kendall 1954). Zero for constant rows.
    """
    energy = float((deviations * deviations).sum())
    if energy == 0.0:
        return 0.0
    rho = float((deviations[1:] * deviations[:-1]).sum()) / energy
    return min(LARGEST, max(0.0, rho + (1.0 + 4.0 * rho) / len(deviations)))

"""Whitening by a shrunk covariance: what makes movements of tokens that are noisy, quiet or tied together comparable."""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.drift.window import Matrix

SHRINKAGE: Final = 0.5
"""Share of the mean variance in place of the estimate. With 100 to 200 serially correlated rows for about 20 tokens the
sample covariance is mostly noise; a half gave the shortest delays at equal false alarms for rho 0 to 0.8 (0.2 suits
independent rows)."""

RESOLUTION: Final = 1e-4
"""Nats. The least deviation that a token is taken to have: a tenth of what the fourth decimal of a probability shows. It
only matters if the reference is constant, whose covariance is zero."""


def shrunk(covariance: Matrix) -> Matrix:
    """Covariances (..., d, d), each shrunk towards its mean variance."""
    d = covariance.shape[-1]
    level = SHRINKAGE * np.trace(covariance, axis1=-2, axis2=-1) / d + RESOLUTION**2
    result: Matrix = (1.0 - SHRINKAGE) * covariance + level[..., None, None] * np.eye(d)
    return result


def whitening(covariance: Matrix) -> Matrix:
    """The symmetric inverse root of covariances (..., d, d), each shrunk towards its mean variance.

    The symmetric root is the only one without a choice of signs or order, so that whitened vectors survive a restart.
    """
    values, vectors = np.linalg.eigh(shrunk(covariance))
    root: Matrix = (vectors / np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return root

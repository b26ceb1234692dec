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


SPIKE: Final = 4.0
"""Variances count up to this many times the median one when the mean is taken. A second serving mode or a noise that all
tokens share has one direction with a hundred times the variance of the others, which would be drowned by its share."""

LEAST: Final = 0.01
"""Share of the plain mean variance below which the mean of the cut ones does not go: where all but one direction is constant, a
digit that changes for the first time is no change of the model."""


def ordinary_variance(variances: Matrix) -> Matrix:
    """The mean of variances (..., d) along the principal directions of a reference, the largest ones cut."""
    cut = np.minimum(variances, SPIKE * np.median(variances, axis=-1, keepdims=True)).mean(axis=-1)
    ordinary: Matrix = np.maximum(cut, LEAST * variances.mean(axis=-1))
    return ordinary


def shrunk(covariance: Matrix) -> Matrix:
    """Covariances (..., d, d), each shrunk towards its ordinary variance.

    They are to be given in the principal directions of the whole reference, along which they are nearly diagonal.
    """
    d = covariance.shape[-1]
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    level = SHRINKAGE * ordinary_variance(variances) + RESOLUTION**2
    result: Matrix = (1.0 - SHRINKAGE) * covariance + level[..., None, None] * np.eye(d)
    return result


def principal_directions(centred: Matrix) -> Matrix:
    """The eigenvectors (d, d) of the covariance of rows (rows, d) with a mean of zero."""
    _, vectors = np.linalg.eigh(centred.T @ centred)
    directions: Matrix = vectors
    return directions


def whitening(covariance: Matrix) -> Matrix:
    """The symmetric inverse root of a covariance (d, d), shrunk towards its ordinary variance.

    The symmetric root is the only one without a choice of signs or order, so that whitened vectors survive a restart.
    """
    values, vectors = np.linalg.eigh(covariance)
    values = np.diagonal(shrunk(np.diag(np.maximum(values, 0.0))))
    root: Matrix = (vectors / np.sqrt(values)) @ vectors.T
    return root

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
only matters if the reference is constant, whose covariance is zero, and its values are not rounded (`resolution`)."""

STEPS: Final = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002)
"""Nats. What values may be rounded to. Those that are rounded more finely are no coarser than ``RESOLUTION``."""

ON_GRID: Final = 1e-6
"""Share of a step by which a rounded value may miss it, from the conversion of decimals."""

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


def resolution(values: Matrix) -> float:
    """The least deviation that a token is taken to have, in nats: the step that all values are rounded to, if there is one.

    A token that always came back rounded to the same value may stand anywhere in that step, and moves by a whole one.
    """
    for step in STEPS:
        steps = values / step
        if np.abs(steps - np.rint(steps)).max() < ON_GRID:
            return step
    return RESOLUTION


def shrunk(covariance: Matrix, least: float) -> Matrix:
    """Covariances (..., d, d), each shrunk towards its ordinary variance; ``least`` is the least deviation of a token.

    They are to be given in the principal directions of the whole reference, along which they are nearly diagonal.
    """
    d = covariance.shape[-1]
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    level = SHRINKAGE * ordinary_variance(variances) + least**2
    result: Matrix = (1.0 - SHRINKAGE) * covariance + level[..., None, None] * np.eye(d)
    return result


def principal_directions(centred: Matrix) -> Matrix:
    """The eigenvectors (d, d) of the covariance of rows (rows, d) with a mean of zero."""
    _, vectors = np.linalg.eigh(centred.T @ centred)
    directions: Matrix = vectors
    return directions


def whitening(covariance: Matrix, least: float) -> Matrix:
    """The symmetric inverse root of a covariance (d, d), shrunk as by ``shrunk``.

    The symmetric root is the only one without a choice of signs or order, so that whitened vectors survive a restart.
    """
    values, vectors = np.linalg.eigh(covariance)
    values = np.diagonal(shrunk(np.diag(np.maximum(values, 0.0)), least))
    root: Matrix = (vectors / np.sqrt(values)) @ vectors.T
    return root

"""From logits to log probabilities, for every model of the sandbox."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", np.float32, np.float64)


def log_softmax(logits: NDArray[F]) -> NDArray[F]:
    """Return ``logits`` normalised along the last axis, as log probabilities in nats; none of them is above zero."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    # Summed in double precision: a vocabulary is a quarter of a million small terms.
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    normalised: NDArray[F] = np.minimum(shifted - np.log(total).astype(logits.dtype), logits.dtype.type(0))
    return normalised

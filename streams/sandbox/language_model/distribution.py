"""From a row of logits to one token: the distribution, its likeliest tokens, and the choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LogProbs = NDArray[np.float32]


def likeliest(log_probs: LogProbs, k: int) -> list[int]:
    """Return the ``k`` likeliest tokens, the likeliest first."""
    if k < 1:
        return []
    found = np.argpartition(-log_probs, k - 1)[:k]
    ordered: list[int] = found[np.argsort(-log_probs[found], kind="stable")].tolist()
    return ordered


def choose(log_probs: LogProbs, temperature: float, chance: np.random.Generator) -> int:
    """Return the likeliest token, or at a temperature above zero a sampled one."""
    if temperature <= 0.0:
        return int(np.argmax(log_probs))
    return int(np.argmax(log_probs / temperature + chance.gumbel(size=len(log_probs))))

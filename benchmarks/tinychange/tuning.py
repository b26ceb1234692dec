"""Training a few steps: plain gradient descent on one text a step, over all weights or over LoRA's factors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.tinychange.variants import ALPHA, RANK

Weights = Mapping[str, Any]
"""Matrices by name: numpy's, or another library's that computes alike."""

Gradient = Callable[[Weights, Any], Mapping[str, Any]]
"""The loss's gradients, by the names of the trained matrices, from the weights and one sample."""

Steps = Iterator[tuple[int, dict[str, Any]]]


def fine_tuned(weights: Weights, gradient: Gradient, samples: Sequence[Any], rate: float) -> Steps:
    """Yield (steps taken, what the trained weights are by then), one sample a step, in the order of the samples."""
    now = dict(weights)
    for step, sample in enumerate(samples, start=1):
        found = gradient(now, sample)
        trained = {name: now[name] - rate * value for name, value in found.items()}
        now |= trained
        yield step, trained


def lora_tuned(weights: Weights, gradient: Gradient, samples: Sequence[Any], rate: float, seed: int) -> Steps:
    """Yield as ``fine_tuned``, but the matrices move by the product of two factors of rank 8 alone.

    The first factor starts at zero and the second at random, so that the first step starts from the model itself. The
    factors' gradients follow from the matrices' own.
    """
    chance = np.random.default_rng(seed)
    left: dict[str, Any] = {}
    right: dict[str, Any] = {}
    now = dict(weights)
    for step, sample in enumerate(samples, start=1):
        for name, slope in gradient(now, sample).items():
            if name not in left:
                rows, columns = slope.shape
                left[name] = np.zeros((rows, RANK), np.float32)
                right[name] = chance.normal(0, columns**-0.5, (RANK, columns)).astype(np.float32)
            scaled = ALPHA / RANK * np.asarray(slope)
            left[name], right[name] = (
                left[name] - rate * scaled @ right[name].T,
                right[name] - rate * left[name].T @ scaled,
            )
            now[name] = weights[name] + ALPHA / RANK * left[name] @ right[name]
        yield step, {name: now[name] for name in left}

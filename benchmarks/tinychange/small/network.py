"""A decoder of one layer over letters, in numpy, with its gradients: attention from the last letter, then an MLP.

``x = E[letters] + P``, ``z = softmax(q k / sqrt(d)) v Wo``, ``h = x_last + z``, ``y = h + relu(h W1) W2``, logits ``y U``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONTEXT, WIDTH, HIDDEN = 16, 32, 96
ATTENTION = ("q", "k", "v", "o")
MLP = ("up", "down")

_BATCH, _STEPS, _RATE = 128, 300, 6e-3
_MOMENTS = (0.9, 0.98)

Array = NDArray[Any]
Weights = Mapping[str, Array]
Sample = tuple[Array, Array]
"""Contexts (n, CONTEXT) and the letters that follow them (n,), as indices."""


def forward(weights: Weights, contexts: Array) -> dict[str, Array]:
    """Return what every part of the network holds, by name; ``logits`` are (n, letters)."""
    x = weights["letters"][contexts] + weights["places"]
    last = x[:, -1]
    query, key, value = last @ weights["q"], x @ weights["k"], x @ weights["v"]
    scores = np.einsum("nd,ntd->nt", query, key) / WIDTH**0.5
    seen = _softmax(scores)
    mixed = np.einsum("nt,ntd->nd", seen, value)
    h = last + mixed @ weights["o"]
    m = np.maximum(h @ weights["up"], 0)
    y = h + m @ weights["down"]
    return {"x": x, "query": query, "key": key, "value": value, "seen": seen, "mixed": mixed, "h": h, "m": m, "y": y,
            "logits": y @ weights["out"]}  # fmt: skip


def loss(weights: Weights, sample: Sample) -> float:
    """Return the mean of -ln P of the letters that follow, nats."""
    contexts, following = sample
    shares = _softmax(forward(weights, contexts)["logits"])
    return float(-np.log(shares[np.arange(len(following)), following]).mean())


def gradient(weights: Weights, sample: Sample) -> dict[str, Array]:
    """Return the gradients of ``loss`` by every weight."""
    contexts, following = sample
    at = forward(weights, contexts)
    logits = _softmax(at["logits"])
    logits[np.arange(len(following)), following] -= 1
    logits /= len(following)
    y = logits @ weights["out"].T
    m = (y @ weights["down"].T) * (at["m"] > 0)
    h = y + m @ weights["up"].T
    mixed = h @ weights["o"].T
    seen = np.einsum("nd,ntd->nt", mixed, at["value"])
    scores = at["seen"] * (seen - (seen * at["seen"]).sum(axis=1, keepdims=True)) / WIDTH**0.5
    query = np.einsum("nt,ntd->nd", scores, at["key"])
    key = scores[:, :, None] * at["query"][:, None]
    value = at["seen"][:, :, None] * mixed[:, None]
    x = key @ weights["k"].T + value @ weights["v"].T
    x[:, -1] += h + query @ weights["q"].T
    letters = np.zeros_like(weights["letters"])
    np.add.at(letters, contexts, x)
    return {
        "letters": letters,
        "places": x.sum(axis=0),
        "q": at["x"][:, -1].T @ query,
        "k": np.einsum("ntd,nte->de", at["x"], key),
        "v": np.einsum("ntd,nte->de", at["x"], value),
        "o": at["mixed"].T @ h,
        "up": at["h"].T @ m,
        "down": at["m"].T @ y,
        "out": at["y"].T @ logits,
    }


def trained(text: Array, letters: int, seed: int) -> dict[str, Array]:
    """Return weights trained with Adam on a text of letters' indices."""
    chance = np.random.default_rng(seed)
    weights = _start(letters, chance)
    moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in weights.items()}
    for step in range(1, _STEPS + 1):
        rate = _RATE * (1 - (step - 1) / _STEPS)
        for name, slope in gradient(weights, _samples(text, chance.integers(CONTEXT, len(text), _BATCH))).items():
            first, second = moments[name]
            first += (1 - _MOMENTS[0]) * (slope - first)
            second += (1 - _MOMENTS[1]) * (slope**2 - second)
            scale = (1 - _MOMENTS[1] ** step) ** 0.5 / (1 - _MOMENTS[0] ** step)
            weights[name] -= (rate * scale * first / (np.sqrt(second) + 1e-8)).astype(np.float32)
    return weights


def single_samples(text: Array, seed: int) -> Iterator[Sample]:
    """Yield contexts with what follows, one at a time, from random places of a text."""
    chance = np.random.default_rng(seed)
    while True:
        yield _samples(text, chance.integers(CONTEXT, len(text), 1))


def _samples(text: Array, places: Sequence[int] | Array) -> Sample:
    at = np.asarray(places)
    return text[at[:, None] + np.arange(-CONTEXT, 0)], text[at]


def _start(letters: int, chance: np.random.Generator) -> dict[str, Array]:
    shapes = {"letters": (letters, WIDTH), "places": (CONTEXT, WIDTH), **dict.fromkeys(ATTENTION, (WIDTH, WIDTH)),
              "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH), "out": (WIDTH, letters)}  # fmt: skip
    return {name: chance.normal(0, shape[0] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def _softmax(values: Array) -> Array:
    shares: Array = np.exp(values - values.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return shares

"""A model trained a few steps on the sandbox's tickets, with every level's weights kept as it is passed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tinychange.real.files import ATTENTION, Values, weights
from benchmarks.tinychange.real.gradients import Forward, gradient, on_device
from benchmarks.tinychange.real.server import RealServer
from benchmarks.tinychange.tuning import fine_tuned, lora_tuned
from benchmarks.tinychange.variants import Family
from streams.errors import SandboxError
from streams.sandbox.language_model.distribution import likeliest
from streams.sandbox.log_softmax import log_softmax

RATES = {Family.TUNING: 1e-5, Family.LORA: 1e-3}
TEXT = 8
"""Tokens of a sample, after the one that begins every text."""

_WIDEST_GAP = 0.01
_EMBEDDINGS = "token_embd.weight"


def samples(tokens: Sequence[int], begin: int, count: int, seed: int) -> list[Values]:
    """Return texts of one length, in random order and again in another order when they run out."""
    texts = [tokens[start : start + TEXT] for start in range(0, len(tokens) - TEXT + 1, TEXT)]
    chance = np.random.default_rng(seed)
    order = np.concatenate([chance.permutation(len(texts)) for _ in range(-(-count // len(texts)))])
    return [np.array([begin, *texts[place]]) for place in order[:count]]


def gap(server: RealServer, logits_of: Forward, path: Path, tokens: Values) -> float:
    """Return how far our logprobs after a text are from the runtime's for the same file: RMS over its top 20, nats.

    Raises SandboxError beyond 0.01: then our forward pass is not this model's.
    """
    served = log_softmax(server.read(tokens.tolist(), 0, 0))
    server.forget_all()
    ours = log_softmax(np.asarray(logits_of(on_device(weights(path)), tokens)[-1]))
    top = likeliest(served, 20)
    found = float(np.sqrt(((served[top] - ours[top]) ** 2).mean()))
    if found > _WIDEST_GAP:
        raise SandboxError(
            f"the forward pass for training is {found:.3f} nats from the runtime's: it is not this model's"
        )
    return found


def train(
    logits_of: Forward,
    source: Path,
    family: Family,
    texts: Sequence[Values],
    levels: Sequence[int],
    folder: Path,
    seed: int,
    told: Callable[[str], None],
) -> None:
    """Train on one text a step and write the trained tensors in half precision at every level (``checkpoint``).

    Fine-tuning leaves the embeddings as they are: they are 62 % of Gemma's weights, and most of a step's time.
    """
    start = on_device(weights(source))
    if family is Family.TUNING:
        names = [name for name in start if name != _EMBEDDINGS]
        steps = fine_tuned(start, gradient(logits_of, names), texts, RATES[family])
    else:
        names = [name for name in start if any(part in name for part in ATTENTION)]
        steps = lora_tuned(start, gradient(logits_of, names), texts, RATES[family], seed)
    for step, trained in steps:
        if step in levels:
            told(f"{family}: {step} steps of {len(texts)}")
            path = checkpoint(folder, family, step)
            with path.with_suffix(".part").open("wb") as file:
                kept: dict[str, Any] = {name: np.asarray(value, _kind(value)) for name, value in trained.items()}
                np.savez(file, **kept)
            path.with_suffix(".part").rename(path)


def checkpoint(folder: Path, family: Family, steps: int) -> Path:
    """Return where the trained tensors of a level are kept."""
    return folder / f"{family.lower()}-{steps}.npz"


def _kind(value: Values) -> Any:
    return np.float16 if np.ndim(value) > 1 else np.float32

"""The raw rows of one model: probes, completions and answers, asked of a server and kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.tinychange.sizes import Sizes
from streams.core.drift import ProbeRow
from streams.sandbox.language_model.distribution import LogProbs, likeliest

PROBE = "x"
ANSWER_TEMPERATURE = 0.1

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Question:
    """A question with one right choice among several; each choice is known by its first token."""

    before: str
    """What stands before every question, which a server may keep in its cache."""

    text: str
    choices: tuple[str, ...]
    right: int


class Part(StrEnum):
    """What is asked at once: a long run gets the probes of all variants first, which take a small part of the time."""

    ALL = "all"
    PROBES = "probes"
    TEXTS = "texts"


class Server(Protocol):
    """A model as it is served: each answer in a situation that is drawn at random."""

    def log_probs(self, text: str, chance: np.random.Generator, before: str = "") -> LogProbs:
        """Return the log probabilities of the token after ``before`` and ``text``, nats."""

    def completions(self, text: str, count: int, length: int, chance: np.random.Generator) -> Ints:
        """Return token ids (count, length) sampled at temperature 1; -1 after the end."""

    def first_token(self, text: str) -> int:
        """Return the first token of a text that goes on another."""

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What one model answered."""

    tokens: Ints
    """(rows, k) ids of the likeliest tokens after the probe, the likeliest first."""

    logprobs: Floats
    """(rows, k), nats."""

    completions: Ints
    """(prompts, samples, tokens)"""

    right: Floats
    """(questions, readings): the probability of the right choice at the temperature of the answers."""

    @cached_property
    def rows(self) -> list[ProbeRow]:
        """The probes as the drift detectors take them."""
        return [
            ProbeRow(tuple(map(str, ids)), tuple(values))
            for ids, values in zip(self.tokens.tolist(), self.logprobs.tolist(), strict=True)
        ]

    def with_texts(self, other: Recording) -> Recording:
        """Return these probes with the completions and answers of another recording."""
        return replace(self, completions=other.completions, right=other.right)

    def save(self, path: Path) -> None:
        """Write it; a file with the final name is always complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part")
        with scratch.open("wb") as file:
            np.savez_compressed(
                file, tokens=self.tokens, logprobs=self.logprobs, completions=self.completions, right=self.right
            )
        scratch.rename(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote."""
        with np.load(path) as file:
            return cls(**{name: file[name] for name in file.files})


def record(
    server: Server,
    prompts: Sequence[str],
    questions: Sequence[Question],
    sizes: Sizes,
    chance: np.random.Generator,
    *,
    original: bool,
    part: Part = Part.ALL,
) -> Recording:
    """Ask a served model everything, or a part; what is not asked is empty."""
    rows = 0 if part is Part.TEXTS else sizes.history + sizes.original_rows if original else sizes.rows
    asked = [] if part is Part.PROBES else prompts[: sizes.prompts]
    tested = [] if part is Part.PROBES else questions[: sizes.questions]
    samples = sizes.original_samples if original else sizes.samples
    readings = sizes.original_readings if original else sizes.readings
    tokens, logprobs = [], []
    for _ in range(rows):
        found = server.log_probs(PROBE, chance)
        top = likeliest(found, sizes.k)
        tokens.append(top)
        logprobs.append(found[top])
    return Recording(
        np.array(tokens, np.int64).reshape(rows, sizes.k),
        np.array(logprobs, np.float32).reshape(rows, sizes.k),
        np.array([server.completions(one, samples, sizes.tokens, chance) for one in asked], np.int64),
        np.array([[_right(server, one, chance) for _ in range(readings)] for one in tested], np.float32),
    )


def _right(server: Server, question: Question, chance: np.random.Generator) -> float:
    found = server.log_probs(question.text, chance, question.before)
    options = found[[server.first_token(choice) for choice in question.choices]].astype(np.float64)
    weights = np.exp((options - options.max()) / ANSWER_TEMPERATURE)
    return float(weights[question.right] / weights.sum())

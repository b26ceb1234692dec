"""The detectors' statistics on null tests and on tests of each variant, drawn from recorded rows.

A null test has both samples from the original, without replacement between them; a variant's test has its second
sample from the variant. All detectors that read probes see windows of the same number of new rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tinychange.auc import Scores, VariantScores
from benchmarks.tinychange.recording import Recording
from benchmarks.tinychange.sizes import Sizes
from streams.core.drift.lt.lt_detector import lt_statistic
from streams.core.drift.lt_ref.baseline import Baseline, fit_baseline
from streams.core.drift.row import ProbeRow

LT, LT_REF, MAHALANOBIS, MET, QUESTIONS = "LT", "lt-ref", "Mahalanobis", "MET", "questions"
PROBING = (LT, LT_REF, MAHALANOBIS)
"""The detectors that read probes, all the same ones."""

ALL = (*PROBING, MET, QUESTIONS)

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A detector's statistics: of the null tests, and of the tests of each variant."""

    null: Scores
    changed: Mapping[str, Scores]

    def tests(self, names: Iterable[str]) -> list[VariantScores]:
        """Return the tests of these variants, of those that were recorded."""
        return [VariantScores(self.null, self.changed[name]) for name in names if name in self.changed]


def examined(
    original: Recording, changed: Mapping[str, Recording], sizes: Sizes, seed: int, names: Sequence[str] = ALL
) -> dict[str, Examined]:
    """Return these detectors' statistics, by name; those that read texts have only variants whose texts were recorded."""
    detectors: dict[str, Callable[[Recording | None, np.random.Generator], Scores]] = {
        LT: _lt(original, sizes),
        LT_REF: _reference(original, sizes, Baseline.deviations),
        MAHALANOBIS: _reference(original, sizes, Baseline.whitened),
    }
    if original.completions.size:
        detectors |= {MET: _met(original, sizes), QUESTIONS: _questions(original, sizes)}
    return {
        name: Examined(
            statistics(None, np.random.default_rng(seed)),
            {
                # Seeded by its name, so that a variant's tests do not depend on which others are recorded.
                variant: statistics(one, np.random.default_rng([seed, zlib.crc32(variant.encode())]))
                for variant, one in changed.items()
                if name in PROBING or one.completions.size
            },
        )
        for name, statistics in detectors.items()
        if name in names
    }


def _lt(original: Recording, sizes: Sizes) -> Callable[[Recording | None, np.random.Generator], Scores]:
    """LT's statistic between windows of old and new rows."""
    before = original.rows[sizes.history :]

    def statistics(variant: Recording | None, chance: np.random.Generator) -> Scores:
        after = before if variant is None else variant.rows
        first, second = _pairs(len(before), len(after), variant is None, sizes.window, sizes.tests, chance)
        return np.array(
            [
                lt_statistic([before[i] for i in a], [after[i] for i in b])
                for a, b in zip(first.tolist(), second.tolist(), strict=True)
            ]
        )

    return statistics


def _reference(
    original: Recording, sizes: Sizes, distances: Callable[[Baseline, list[ProbeRow]], Any]
) -> Callable[[Recording | None, np.random.Generator], Scores]:
    """The length of the mean whitened distance of the new rows from a reference of 200 earlier ones."""
    history, quiet = original.rows[: sizes.history], original.rows[sizes.history :]
    chance = np.random.default_rng(0)
    baselines = [
        fit_baseline([history[i] for i in chance.permutation(len(history))[: sizes.reference]], sizes.k)[0]
        for _ in range(sizes.references)
    ]

    def statistics(variant: Recording | None, chance: np.random.Generator) -> Scores:
        rows = quiet if variant is None else variant.rows
        found: list[Scores] = []
        for one in np.array_split(np.arange(sizes.tests), len(baselines)):
            baseline = baselines[len(found)]
            drawn = _draws(len(rows), sizes.window, len(one), chance)
            found.append(np.linalg.norm(distances(baseline, rows)[drawn].mean(axis=1), axis=1))
        return np.concatenate(found)

    return statistics


def _met(original: Recording, sizes: Sizes) -> Callable[[Recording | None, np.random.Generator], Scores]:
    """The unbiased squared MMD of sampled completions with a Hamming kernel over tokens, mean over the prompts."""

    def statistics(variant: Recording | None, chance: np.random.Generator) -> Scores:
        old = original.completions
        pool = old if variant is None else np.concatenate((old, variant.completions), axis=1)
        start, count = (0, old.shape[1]) if variant is None else (old.shape[1], variant.completions.shape[1])
        total = np.zeros(sizes.tests)
        for prompt in pool:
            kernel = (prompt[:, None] == prompt[None]).mean(axis=-1)
            first, second = _pairs(old.shape[1], count, variant is None, sizes.met_samples, sizes.tests, chance)
            total += _mmd(kernel, first, second + start)
        return total / len(pool)

    return statistics


def _mmd(kernel: NDArray[np.float64], first: Indices, second: Indices) -> Scores:
    def within(drawn: Indices) -> Any:
        n = drawn.shape[1]
        values = kernel[drawn[:, :, None], drawn[:, None, :]]
        return (values.sum(axis=(1, 2)) - n) / (n * (n - 1))  # a completion is all like itself: the diagonal is n

    between = kernel[first[:, :, None], second[:, None, :]].mean(axis=(1, 2))
    found: Scores = within(first) + within(second) - 2 * between
    return found


def _questions(original: Recording, sizes: Sizes) -> Callable[[Recording | None, np.random.Generator], Scores]:
    """The mean absolute difference of the share of right answers to each question."""

    def shares(right: Any, chance: np.random.Generator) -> Any:
        questions, readings = right.shape
        drawn = chance.integers(0, readings, (sizes.tests, questions, sizes.answers))
        sure = right[np.arange(questions)[None, :, None], drawn]
        return (chance.random(sure.shape) < sure).mean(axis=-1)

    def statistics(variant: Recording | None, chance: np.random.Generator) -> Scores:
        after = original.right if variant is None else variant.right
        found: Scores = np.abs(shares(original.right, chance) - shares(after, chance)).mean(axis=1)
        return found

    return statistics


def _pairs(
    first: int, second: int, same: bool, count: int, tests: int, chance: np.random.Generator
) -> tuple[Indices, Indices]:
    """Return indices (tests, count) for both samples; from the same pool they have none in common."""
    if not same:
        return _draws(first, count, tests, chance), _draws(second, count, tests, chance)
    both = _draws(first, 2 * count, tests, chance)
    return both[:, :count], both[:, count:]


def _draws(pool: int, count: int, tests: int, chance: np.random.Generator) -> Indices:
    """Return indices (tests, count), each line without repetition."""
    return np.argsort(chance.random((tests, pool)), axis=1)[:, :count]

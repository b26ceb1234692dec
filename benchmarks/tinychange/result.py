"""From recordings to figures: the AUC of every detector, by family and level, and what each costs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks.tinychange.auc import auc, interval
from benchmarks.tinychange.detectors import MET, PROBING, QUESTIONS, Examined, examined
from benchmarks.tinychange.online import online
from benchmarks.tinychange.recording import Recording
from benchmarks.tinychange.sizes import Sizes
from benchmarks.tinychange.variants import OURS, Variant
from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, censored
from streams.models.prices import Price

PRICE = Price(input=3.0, output=12.0)
"""The paper's, USD per million tokens."""

ROUNDS = 8760
"""Hourly rounds in a year."""

HOPELESS, TRIVIAL = 0.6, 0.99


def result(
    original: Recording,
    changed: Mapping[str, Recording],
    variants: Sequence[Variant],
    sizes: Sizes,
    prompt_tokens: Mapping[str, float],
    seed: int,
) -> dict[str, Any]:
    """Return the benchmark's figures as JSON values."""
    known = [variant for variant in variants if variant.name in changed]
    statistics = examined(original, changed, sizes, seed)
    areas = _areas(statistics, known)
    moved = movements(original, changed)
    hard = hard_variants(areas, [variant.name for variant in known])
    return {
        "detectors": {
            name: {
                **_intervals(one, known, hard, sizes, seed),
                "variants": areas[name],
                **cost(name, sizes, prompt_tokens),
            }
            for name, one in statistics.items()
        },
        "hard": hard,
        "variants": [
            {"name": one.name, "family": one.family, "level": one.level, "amount": one.amount,
             "rms_nats": moved[one.name]} for one in known
        ],
        "missing": [variant.name for variant in variants if variant.name not in changed],
        "noisier": [noisier(original, changed, known, deviation, sizes, seed) for deviation in sizes.added_nats],
        "online": online(original, {name: one.rows for name, one in changed.items()}, sizes.quiet_rows, seed),
    }  # fmt: skip


def noisier(
    original: Recording,
    changed: Mapping[str, Recording],
    known: Sequence[Variant],
    deviation: float,
    sizes: Sizes,
    seed: int,
) -> dict[str, Any]:
    """Return the AUCs of the detectors that read probes, with independent noise added to every logprob, nats."""
    moved = {name: with_noise(one, deviation, seed, name) for name, one in changed.items()}
    statistics = examined(with_noise(original, deviation, seed, ""), moved, sizes, seed, PROBING)
    hard = hard_variants(_areas(statistics, known), [variant.name for variant in known])
    return {
        "added_nats": deviation,
        "hard": hard,
        "detectors": {name: _intervals(one, known, hard, sizes, seed) for name, one in statistics.items()},
    }


def with_noise(recording: Recording, deviation: float, seed: int, name: str) -> Recording:
    """Return a recording whose probes carry noise of their own; the likeliest tokens still come first."""
    chance = np.random.default_rng([seed, 98, zlib.crc32(name.encode())])
    noisy = recording.logprobs + chance.normal(0, deviation, recording.logprobs.shape).astype(np.float32)
    order = np.argsort(-noisy, axis=1, kind="stable")
    return replace(
        recording,
        tokens=np.take_along_axis(recording.tokens, order, axis=1),
        logprobs=np.minimum(np.take_along_axis(noisy, order, axis=1), np.float32(0)),
    )


def hard_variants(areas: Mapping[str, Mapping[str, float]], names: Iterable[str]) -> list[str]:
    """Return the variants that are neither hopeless nor trivial for detectors that read probes.

    At least one of LT and the two reference statistics sees it (AUC of 0.6 and more), and at least one does not see it
    at once (under 0.99). The choice favours none of them.
    """
    return [
        name
        for name in names
        if max(areas[one][name] for one in PROBING) >= HOPELESS and min(areas[one][name] for one in PROBING) < TRIVIAL
    ]


def cost(name: str, sizes: Sizes, prompt_tokens: Mapping[str, float]) -> dict[str, float]:
    """Return the tokens of one hourly round, and the USD of a year of them."""
    calls, kind, written = {
        MET: (sizes.prompts * sizes.met_samples, "completion", sizes.tokens),
        QUESTIONS: (sizes.questions * sizes.answers, "question", 1),
    }.get(name, (1, "probe", 1))
    prompt = prompt_tokens[kind]
    return {
        "tokens_in": calls * prompt,
        "tokens_out": calls * written,
        "usd_per_year": ROUNDS * (calls * prompt * PRICE.input + calls * written * PRICE.output) / 1e6,
    }


def movements(original: Recording, changed: Mapping[str, Recording]) -> dict[str, float]:
    """Return how far the probe's mean logprobs moved: root mean square over the original's tokens, nats."""
    rows = original.rows
    tokens = list(dict.fromkeys(token for row in rows for token in row.tokens))

    def mean(rows: Sequence[ProbeRow]) -> Matrix:
        found: Matrix = censored(rows, tokens, rows[0].k).mean(axis=0)
        return found

    before = mean(rows)
    return {name: float(np.sqrt(((mean(one.rows) - before) ** 2).mean())) for name, one in changed.items()}


def _areas(statistics: Mapping[str, Examined], known: Sequence[Variant]) -> dict[str, dict[str, float]]:
    return {
        name: {variant.name: auc(one.null, one.changed[variant.name]) for variant in known}
        for name, one in statistics.items()
    }


def _intervals(one: Examined, known: Sequence[Variant], hard: Sequence[str], sizes: Sizes, seed: int) -> dict[str, Any]:
    def over(names: Iterable[str]) -> dict[str, float] | None:
        chosen = {name: one.changed[name] for name in names}
        return asdict(interval(one.null, chosen, sizes.resamples, seed)) if chosen else None

    families = dict.fromkeys(variant.family for variant in known)
    return {
        "paper": over(variant.name for variant in known if variant.family not in OURS),
        "all": over(variant.name for variant in known),
        "hard": over(hard),
        "families": {
            family: over(variant.name for variant in known if variant.family is family) for family in families
        },
    }

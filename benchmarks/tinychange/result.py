"""From recordings to figures: the AUC of every detector, by family and level, and what each costs."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tinychange.auc import auc, interval
from benchmarks.tinychange.detectors import LT, LT_REF, MET, PROBING, QUESTIONS, Examined, examined
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


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One model's statistics: ``served`` as it was recorded, and with each kind of ``added`` noise, by its name."""

    model: str
    known: Sequence[Variant]
    served: Mapping[str, Examined]
    added: Mapping[str, Mapping[str, Examined]]

    def hard(self, statistics: Mapping[str, Examined]) -> list[str]:
        """Return the hard variants under this noise."""
        return hard_variants(_areas(statistics, self.known), [variant.name for variant in self.known])


def examine(
    model: str,
    original: Recording,
    changed: Mapping[str, Recording],
    variants: Sequence[Variant],
    sizes: Sizes,
    seed: int,
) -> Run:
    """Return every detector's statistics about one model."""
    return Run(
        model,
        [variant for variant in variants if variant.name in changed],
        examined(original, changed, sizes, seed),
        {
            name: examined(
                add(original, seed, ""),
                {key: add(one, seed, key) for key, one in changed.items()},
                sizes,
                seed,
                PROBING,
            )
            for name, add in _noises(sizes).items()
        },
    )


def result(
    run: Run,
    original: Recording,
    changed: Mapping[str, Recording],
    variants: Sequence[Variant],
    sizes: Sizes,
    prompt_tokens: Mapping[str, float],
    seed: int,
) -> dict[str, Any]:
    """Return one model's figures as JSON values."""
    moved = movements(original, changed)
    areas = _areas(run.served, run.known)
    hard = run.hard(run.served)
    return {
        "detectors": {
            name: {
                **_intervals(one, run.known, hard, sizes, seed),
                "variants": areas[name],
                **cost(name, sizes, prompt_tokens),
            }
            for name, one in run.served.items()
        },
        "hard": hard,
        "variants": [
            {"name": one.name, "family": one.family, "level": one.level, "amount": one.amount,
             "rms_nats": moved[one.name]} for one in run.known
        ],
        "missing": [variant.name for variant in variants if variant.name not in changed],
        "noisier": noisier([run], sizes, seed),
        "online": online(original, {name: one.rows for name, one in changed.items()}, sizes.quiet_rows, seed),
    }  # fmt: skip


def noisier(runs: Sequence[Run], sizes: Sizes, seed: int) -> list[dict[str, Any]]:
    """Return the AUCs of the detectors that read probes, over all models: as served, and with every kind of noise.

    ``lead`` is how far lt-ref is above LT.
    """
    kinds = {"none": [run.served for run in runs]} | {name: [run.added[name] for run in runs] for name in runs[0].added}
    return [_noisier(name, runs, statistics, sizes, seed) for name, statistics in kinds.items()]


def _noisier(
    name: str, runs: Sequence[Run], statistics: Sequence[Mapping[str, Examined]], sizes: Sizes, seed: int
) -> dict[str, Any]:
    hard = [run.hard(one) for run, one in zip(runs, statistics, strict=True)]
    every = [[variant.name for variant in run.known] for run in runs]

    def over(chosen: Sequence[Sequence[str]]) -> dict[str, Any]:
        tests = {
            detector: [
                test for one, names in zip(statistics, chosen, strict=True) for test in one[detector].tests(names)
            ]
            for detector in PROBING
        }
        if not tests[LT]:
            return dict.fromkeys((*PROBING, "lead"))
        lead = interval(tests[LT_REF], sizes.resamples, seed, less=tests[LT])
        return {one: asdict(interval(found, sizes.resamples, seed)) for one, found in tests.items()} | {
            "lead": asdict(lead)
        }

    return {
        "added": name,
        "variants": sum(map(len, every)),
        "hard": [variant for names in hard for variant in names],
        "over_all": over(every),
        "over_hard": over(hard),
    }


def _noises(sizes: Sizes) -> dict[str, Callable[[Recording, int, str], Recording]]:
    found: dict[str, Callable[[Recording, int, str], Recording]] = {}
    for rate, nats in sizes.second_answers:
        found[f"a second answer on {rate:.0%} of the rows, {nats:g} nats from the first"] = partial(
            with_second_answer, rate, nats
        )
    for deviation in sizes.added_nats:
        found[f"{deviation:g} nats, independent"] = partial(with_noise, deviation)
    return found


def with_second_answer(rate: float, nats: float, recording: Recording, seed: int, name: str) -> Recording:
    """Return a recording some of whose rows are another answer of the same model, ``nats`` (RMS) from the first.

    So a real server was measured: llama-server, with its cache of prompts and other requests in the batch, had two answers
    to one probe. How each token moves is drawn for each model anew, since it hangs on how all its weights are rounded. A
    model whose commonest answer is the original's to the last digit has the original's second answer, too: it may well
    be the original, if an edit has changed nothing.
    """
    chance = np.random.default_rng([seed, 97, zlib.crc32(name.encode())])
    ids, places = np.unique(recording.tokens, return_inverse=True)
    by_answer = np.random.default_rng([seed, 97, zlib.crc32(_commonest(recording))])
    moves = by_answer.normal(0, nats, len(ids))[places.reshape(recording.tokens.shape)]
    second = chance.random(len(moves)) < rate
    return _moved(recording, np.where(second[:, None], moves, 0.0))


def _commonest(recording: Recording) -> bytes:
    """Return the answer that most of the rows are."""
    answers: Counter[bytes] = Counter(
        tokens.tobytes() + logprobs.tobytes()
        for tokens, logprobs in zip(recording.tokens, recording.logprobs, strict=True)
    )
    return answers.most_common(1)[0][0]


def with_noise(deviation: float, recording: Recording, seed: int, name: str) -> Recording:
    """Return a recording whose probes carry noise of their own; the likeliest tokens still come first."""
    chance = np.random.default_rng([seed, 98, zlib.crc32(name.encode())])
    return _moved(recording, chance.normal(0, deviation, recording.logprobs.shape))


def _moved(recording: Recording, moves: NDArray[np.float64]) -> Recording:
    noisy = recording.logprobs + moves.astype(np.float32)
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
        name: {
            variant.name: auc(one.null, one.changed[variant.name]) for variant in known if variant.name in one.changed
        }
        for name, one in statistics.items()
    }


def _intervals(one: Examined, known: Sequence[Variant], hard: Sequence[str], sizes: Sizes, seed: int) -> dict[str, Any]:
    def over(names: Iterable[str]) -> dict[str, float] | None:
        chosen = one.tests(names)
        return asdict(interval(chosen, sizes.resamples, seed)) if chosen else None

    families = dict.fromkeys(variant.family for variant in known)
    return {
        "paper": over(variant.name for variant in known if variant.family not in OURS),
        "all": over(variant.name for variant in known),
        "hard": over(hard),
        "families": {
            family: over(variant.name for variant in known if variant.family is family) for family in families
        },
    }

"""The stand-in as the benchmark's subject: trained, changed and asked in one process, in seconds."""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import orjson

from benchmarks.tinychange.edits import edited
from benchmarks.tinychange.recording import PROBE, Part, Question, Recording, record
from benchmarks.tinychange.sizes import Sizes
from benchmarks.tinychange.small.network import (
    ATTENTION,
    CONTEXT,
    MLP,
    Array,
    Weights,
    gradient,
    single_samples,
    trained,
)
from benchmarks.tinychange.small.server import SmallServer, indices
from benchmarks.tinychange.tuning import fine_tuned, lora_tuned
from benchmarks.tinychange.variants import Family, Variant, variants
from streams.sandbox.tickets import DEMO, TRAIN

_BITS = ("8 bits", "7 bits", "6 bits", "5 bits", "4 bits", "3 bits")
_TUNING_RATE = 1e-4
_LORA_RATE = 1e-3
_CHOICES = 4


class SmallSubject:
    """A decoder of one layer over the letters of the sandbox's tickets; a stand-in, not a language model of use."""

    name = "stand-in over letters, trained from nothing"
    variants = variants(_BITS)

    def __init__(self, seed: int, sizes: Sizes) -> None:
        """Remember what is asked for; training waits for the first recording."""
        self._seed = seed
        self._sizes = sizes

    def record(self, variant: Variant | None, part: Part = Part.ALL) -> Recording:
        """Return what a variant, or the original, answers to this part."""
        weights = self._weights if variant is None else self._changed(variant)
        chance = np.random.default_rng([self._seed, 1 if variant is None else variant.chance(self._seed)])
        server = SmallServer(weights, self._letters, self._text)
        return record(server, self._prompts, self._questions, self._sizes, chance, original=variant is None, part=part)

    def prompt_tokens(self) -> dict[str, float]:
        """Return the mean prompt tokens of a probe, a completion and a question."""
        return {"probe": len(PROBE), "completion": CONTEXT, "question": CONTEXT}

    def noise(self) -> list[dict[str, Any]]:
        """Return what company alone does to the probe: the deviation of its likeliest letters' logprobs, nats."""
        server = SmallServer(self._weights, self._letters, self._text)
        chance = np.random.default_rng([self._seed, 2])
        found = np.array([server.log_probs(PROBE, chance) for _ in range(self._sizes.history)])
        top = np.argsort(-found[0])[: self._sizes.k]
        distinct = len(np.unique(np.round(found[:, top], 6), axis=0))
        return [{"situation": "company of 0 to 7", "rms_nats": float(found[:, top].std(axis=0).mean()),
                 "distinct": distinct}]  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""

    @cached_property
    def _tickets(self) -> dict[str, list[str]]:
        return {
            path.stem: [orjson.loads(line)["text"] for line in path.read_bytes().splitlines()] for path in (TRAIN, DEMO)
        }

    @cached_property
    def _letters(self) -> str:
        return "".join(sorted({letter for text in self._tickets["train"] for letter in text} | {" ", "\n"}))

    @cached_property
    def _text(self) -> Array:
        return indices("\n".join(self._tickets["train"]), self._letters)

    @cached_property
    def _weights(self) -> dict[str, Array]:
        return trained(self._text, len(self._letters), self._seed)

    @property
    def _prompts(self) -> list[str]:
        return [text[:CONTEXT] for text in self._tickets["demo"]]

    @property
    def _questions(self) -> list[Question]:
        """Which of four letters goes on a ticket."""
        chance = np.random.default_rng([self._seed, 3])
        made = []
        for text in self._tickets["demo"]:
            place = int(chance.integers(CONTEXT, len(text) - 1))
            wrong = [letter for letter in "etaoinsr" if letter != text[place]]
            choices = [text[place], *chance.choice(wrong, _CHOICES - 1, replace=False)]
            if choices[0] in self._letters:
                made.append(Question("", text[:place], tuple(choices), 0))
        return made

    def _changed(self, variant: Variant) -> Weights:
        if variant.family in (Family.TUNING, Family.LORA):
            return {**self._weights, **self._tuned(variant)}
        if variant.family is Family.REQUANTISED:
            return {name: _requantised(value, int(variant.level[0])) for name, value in self._weights.items()}
        chance = np.random.default_rng(variant.chance(self._seed))
        found = {
            name: edited(value, variant, in_mlp=name in MLP, chance=chance) for name, value in self._weights.items()
        }
        return {name: self._weights[name] if value is None else value for name, value in found.items()}

    def _tuned(self, variant: Variant) -> dict[str, Array]:
        samples = list(islice(single_samples(indices("\n".join(self._tickets["demo"]), self._letters), self._seed),
                              int(variant.amount)))  # fmt: skip
        if variant.family is Family.TUNING:
            steps = fine_tuned(self._weights, gradient, samples, _TUNING_RATE)
        else:
            steps = lora_tuned(self._weights, _attention_gradient, samples, _LORA_RATE, self._seed)
        for _, weights in steps:
            found = weights
        return found


def _attention_gradient(weights: Weights, sample: Any) -> dict[str, Array]:
    found = gradient(weights, sample)
    return {name: found[name] for name in ATTENTION}


def _requantised(values: Array, bits: int) -> Array:
    """Round to this many bits with one scale a row."""
    scale = np.abs(values).max(axis=-1, keepdims=True) / (2 ** (bits - 1) - 1)
    rounded: Array = (np.rint(values / scale) * scale).astype(np.float32)
    return rounded

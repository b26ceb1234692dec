"""A real model as the benchmark's subject, edited in half precision: served in six bits, or as it is edited.

Six bits (Q6_K), because this runtime's serving noise is real there (``modes``); but the runtime then rounds activations to
8 bits, so that a change is either invisible or plain. In half precision small edits survive and move the answer as little
as they are small, and serving adds next to nothing: what a real server adds is added to the recorded rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.tinychange.edits import edited
from benchmarks.tinychange.real.files import MLP, EditedInPlace, Values, edited_copy
from benchmarks.tinychange.real.models import RealModel
from benchmarks.tinychange.real.modes import serving_modes
from benchmarks.tinychange.real.server import RealServer
from benchmarks.tinychange.real.training import checkpoint, gap, samples, train
from benchmarks.tinychange.recording import PROBE, Part, Question, Recording, record
from benchmarks.tinychange.sizes import Sizes
from benchmarks.tinychange.variants import Family, Variant, fine_variants, variants
from streams.errors import SandboxError
from streams.sandbox.language_model.examples import choose_examples
from streams.sandbox.language_model.prompting import prefix, question
from streams.sandbox.language_model.weights import requantised
from streams.sandbox.model_server.training import read_training_set
from streams.sandbox.tickets import DEMO, TRAIN

SERVED = "q6_k"
_KINDS = ("q3_k_m", "q4_0", "iq4_nl", "q4_k_m", "q4_1", "q5_0", "q5_1", "q5_k_m", "q6_0", "q8_0", "bf16")
_FINE_KINDS = ("q5_k_m", "q6_k", "q8_0", "bf16")
_EXAMPLES = 12
_PROMPT_WORDS = 6


class RealSubject(ABC):
    """A real model; its large files are kept in ``folder`` while it is in use."""

    variants: tuple[Variant, ...]
    how: str
    """How it is served."""
    _companies: tuple[int, ...] | None = None
    _situations: Mapping[str, Any] = {}

    def __init__(self, model: RealModel, seed: int, sizes: Sizes, folder: Path, told: Callable[[str], None]) -> None:
        """Raise SandboxError if packages are missing; files are made when they are needed."""
        if model.missing is not None:
            raise SandboxError(model.missing)
        self._model, self._seed, self._sizes, self._folder, self._told = model, seed, sizes, folder, told
        self.name = f"{model.title}, served {self.how}"
        self._copy = folder / "copy.gguf"

    @abstractmethod
    def record(self, variant: Variant | None, part: Part = Part.ALL) -> Recording:
        """Return what a variant, or the original, answers to this part."""

    @property
    @abstractmethod
    def _served(self) -> Path:
        """The original as it is served."""

    def _asked(self, server: RealServer, variant: Variant | None, part: Part) -> Recording:
        chance = np.random.default_rng([self._seed, 1 if variant is None else variant.chance(self._seed)])
        original = variant is None
        return record(server, self._prompts, self._questions, self._sizes, chance, original=original, part=part)

    def prompt_tokens(self) -> dict[str, float]:
        """Return the mean prompt tokens of a probe, a completion and a question."""
        server = self._loaded(self._served)
        try:
            asked = self._questions[: self._sizes.questions]
            return {
                "probe": server.count(PROBE),
                "completion": float(np.mean([server.count(one) for one in self._prompts[: self._sizes.prompts]])),
                "question": float(np.mean([server.count(one.before + one.text) for one in asked])),
            }
        finally:
            server.close()

    def noise(self) -> list[dict[str, Any]]:
        """Return the distinct answers to the probe that serving alone makes of the original."""
        server = self._loaded(self._served)
        try:
            return serving_modes(server, self._sizes.k, **self._situations)
        finally:
            server.close()

    def close(self) -> None:
        """Delete the large files; they are made again when they are needed."""
        for path in (*self._folder.glob("*.gguf"), *self._folder.glob("*.npz")):
            path.unlink()

    @cached_property
    def _half(self) -> Path:
        """The model in half precision."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "half.gguf"
        return path if path.is_file() else requantised(self._model.kind.weights(), path, "f16")

    def _loaded(self, path: Path) -> RealServer:
        return RealServer(path, " ".join(self._texts), begin=self._model.kind.begin, companies=self._companies)

    def _edit(self, variant: Variant) -> Callable[[str, Values], Values | None]:
        if variant.family in (Family.TUNING, Family.LORA):
            return self._trained(variant).get
        chance = np.random.default_rng(variant.chance(self._seed))
        return lambda name, values: edited(values, variant, in_mlp=any(part in name for part in MLP), chance=chance)

    def _trained(self, variant: Variant) -> dict[str, Values]:
        path = partial(checkpoint, self._folder, variant.family)
        if not path(int(variant.amount)).is_file():
            levels = [int(one.amount) for one in self.variants if one.family is variant.family]
            server = self._loaded(self._half)
            try:
                tokens = server.tokens("\n".join(self._texts))
                texts = samples(tokens, server.begin, max(levels), self._seed)
                self._told(
                    f"our forward pass is {gap(server, self._model.logits_of, self._half, texts[0]):.4f} nats (RMS) from the runtime's"
                )
            finally:
                server.close()
            train(
                self._model.logits_of, self._half, variant.family, texts, levels, self._folder, self._seed, self._told
            )
        with np.load(path(int(variant.amount))) as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def _texts(self) -> list[str]:
        return [orjson.loads(line)["text"] for path in (TRAIN, DEMO) for line in path.read_bytes().splitlines()]

    @property
    def _prompts(self) -> list[str]:
        return [" ".join(text.split()[:_PROMPT_WORDS]) for text in self._texts[::-1]]

    @cached_property
    def _questions(self) -> list[Question]:
        """Which queue a ticket belongs to, after examples."""
        shown = choose_examples(read_training_set(TRAIN), _EXAMPLES)
        labels = tuple(sorted({example.label for example in shown}))
        asked = read_training_set(DEMO)
        return [
            Question(prefix("", shown), question(text), tuple(f" {one}" for one in labels), labels.index(label))
            for text, label in zip(asked.texts, asked.labels, strict=True)
            if label in labels
        ]


class SixBitSubject(RealSubject):
    """The model served in six bits: every variant is quantised anew and loaded."""

    variants = variants(_KINDS)
    how = f"as {SERVED.upper()}"

    def record(self, variant: Variant | None, part: Part = Part.ALL) -> Recording:
        """Return what a variant, or the original, answers to this part."""
        path = self._served if variant is None else self._made(variant)
        server = self._loaded(path)
        try:
            return self._asked(server, variant, part)
        finally:
            server.close()
            if path != self._served:
                path.unlink()

    @cached_property
    def _served(self) -> Path:
        path = self._folder / "served.gguf"
        return path if path.is_file() else requantised(self._half, path, SERVED)

    def _made(self, variant: Variant) -> Path:
        """Write a variant's file to serve."""
        target = self._folder / "variant.gguf"
        if variant.family is Family.REQUANTISED:
            return requantised(self._half, target, variant.level)
        return requantised(edited_copy(self._half, self._copy, self._edit(variant)), target, SERVED)


class HalfPrecisionSubject(RealSubject):
    """The model served in half precision, as it is edited: in place, under a server that stays."""

    variants = fine_variants(_FINE_KINDS)
    how = "in half precision"
    #: One of each kind that was found to have an answer of its own.
    _companies = (7, 8)
    _situations: Mapping[str, Any] = {"threads": (1,), "companies": (0, 1, 7, 8, 16, 31, 64)}

    def record(self, variant: Variant | None, part: Part = Part.ALL) -> Recording:
        """Return what a variant, or the original, answers to this part."""
        if variant is not None and variant.family is Family.REQUANTISED:
            path = requantised(self._half, self._folder / "variant.gguf", variant.level)
            server = self._loaded(path)
            try:
                return self._asked(server, variant, part)
            finally:
                server.close()
                path.unlink()
        copy, server = self._standing
        copy.edit((lambda _name, _values: None) if variant is None else self._edit(variant))
        server.reread()
        return self._asked(server, variant, part)

    @property
    def _served(self) -> Path:
        return self._half

    @cached_property
    def _standing(self) -> tuple[EditedInPlace, RealServer]:
        """The copy that is edited, and the server that has it mapped."""
        copy = EditedInPlace(self._half, self._copy)
        return copy, self._loaded(copy.path)

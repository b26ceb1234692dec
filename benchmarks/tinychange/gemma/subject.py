"""Gemma 3 270M as the benchmark's subject: edited in half precision, served in six bits.

Six bits (Q6_K), because this runtime's serving noise is real there (``modes``) and the quantisation is fine enough to
let small edits through: in Q8_0 and in half precision serving adds nothing that a probe shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.tinychange.edits import edited
from benchmarks.tinychange.gemma.files import MLP, Values, edited_copy, missing, requantised
from benchmarks.tinychange.gemma.modes import serving_modes
from benchmarks.tinychange.gemma.server import GemmaServer
from benchmarks.tinychange.gemma.training import checkpoint, gap, samples, train
from benchmarks.tinychange.recording import PROBE, Question, Recording, record
from benchmarks.tinychange.sizes import Sizes
from benchmarks.tinychange.variants import Family, Variant, variants
from streams.errors import SandboxError
from streams.sandbox.language_model.examples import choose_examples
from streams.sandbox.language_model.prompting import prefix, question
from streams.sandbox.language_model.weights import weights_file
from streams.sandbox.model_server.training import read_training_set
from streams.sandbox.tickets import DEMO, TRAIN

SERVED = "q6_k"
_KINDS = ("q3_k_m", "q4_0", "iq4_nl", "q4_k_m", "q4_1", "q5_0", "q5_1", "q5_k_m", "q6_0", "q8_0", "bf16")
_EXAMPLES = 12
_PROMPT_WORDS = 6


class GemmaSubject:
    """The real model; its large files are kept in ``folder`` while it is in use."""

    name = f"Gemma 3 270M (base), served as {SERVED.upper()}"
    variants = variants(_KINDS)

    def __init__(self, seed: int, sizes: Sizes, folder: Path, told: Callable[[str], None]) -> None:
        """Raise SandboxError if packages are missing; files are made when they are needed."""
        reason = missing()
        if reason is not None:
            raise SandboxError(reason)
        self._seed, self._sizes, self._folder, self._told = seed, sizes, folder, told
        self._copy = folder / "copy.gguf"

    def record(self, variant: Variant | None) -> Recording:
        """Return the rows of a variant, or of the original."""
        path = self._served if variant is None else self._made(variant)
        chance = np.random.default_rng([self._seed, 1 if variant is None else variant.chance(self._seed)])
        server = self._loaded(path)
        try:
            return record(server, self._prompts, self._questions, self._sizes, chance, original=variant is None)
        finally:
            server.close()
            if path != self._served:
                path.unlink()

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
            return serving_modes(server, self._sizes.k)
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
        return path if path.is_file() else requantised(weights_file(), path, "f16")

    @cached_property
    def _served(self) -> Path:
        """The original as it is served."""
        path = self._folder / "served.gguf"
        return path if path.is_file() else requantised(self._half, path, SERVED)

    def _loaded(self, path: Path) -> GemmaServer:
        return GemmaServer(path, " ".join(self._texts))

    def _made(self, variant: Variant) -> Path:
        """Write a variant's file to serve."""
        target = self._folder / "variant.gguf"
        if variant.family is Family.REQUANTISED:
            return requantised(self._half, target, variant.level)
        return requantised(edited_copy(self._half, self._copy, self._edit(variant)), target, SERVED)

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
                self._told(f"our forward pass is {gap(server, self._half, texts[0]):.4f} nats (RMS) from the runtime's")
            finally:
                server.close()
            train(self._half, variant.family, texts, levels, self._folder, self._seed, self._told)
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

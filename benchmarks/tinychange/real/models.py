"""The real language models that may be the subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.tinychange.real import gemma, smollm2
from benchmarks.tinychange.real.gradients import Forward
from streams.sandbox.extras import missing_extra
from streams.sandbox.language_model import kinds
from streams.sandbox.language_model.weights import missing_packages, missing_smollm2


@dataclass(frozen=True, slots=True)
class RealModel:
    """One model: what the sandbox knows of it, and its forward pass for gradients."""

    title: str
    kind: kinds.Kind
    logits_of: Forward
    missing_packages: Callable[[], str | None]

    @property
    def missing(self) -> str | None:
        """Why it cannot be the subject here, in one line that says what to install, or None when it can."""
        return missing_extra("the benchmark", "tinychange") or self.missing_packages()


MODELS: Final = {
    "gemma": RealModel("Gemma 3 270M (base)", kinds.GEMMA, gemma.logits_of, missing_packages),
    "smollm2": RealModel("SmolLM2-135M-Instruct", kinds.SMOLLM2, smollm2.logits_of, missing_smollm2),
}
"""By the name that the command line takes."""

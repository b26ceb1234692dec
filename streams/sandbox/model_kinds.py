"""What the sandbox's cheap model can be; apart from the server, so that a command line need not load it."""

from __future__ import annotations

from typing import Literal, get_args

ModelKind = Literal["trained", "llm", "smollm2"]
"""A trained classifier, or a real language model: Gemma 3 270M (the extra ``llm``) or SmolLM2-135M-Instruct (a package
more)."""

MODEL_KINDS: tuple[ModelKind, ...] = get_args(ModelKind)


def is_language_model(kind: ModelKind) -> bool:
    """Return whether the cheap model is a real language model, which serves one request after the other."""
    return kind != "trained"

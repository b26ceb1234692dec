"""Which language models there are: the weights of each, and the form in which it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.sandbox.language_model.prompting import ChatML, Form, Lines
from streams.sandbox.language_model.weights import gemma_file, smollm2_file


@dataclass(frozen=True, slots=True)
class Kind:
    """One language model."""

    name: str
    """As it stands in the ids of answers."""
    weights: Callable[[], Path]
    """Returns the GGUF file; raises SandboxError if its packages are missing. Blocks."""
    form: Form
    begin: str | None = None
    """The control token that a plain text begins with; None: the one that the file names."""


GEMMA: Final = Kind("gemma-3-270m", gemma_file, Lines())
"""Gemma 3 270M, a base model."""

SMOLLM2: Final = Kind("smollm2-135m-instruct", smollm2_file, ChatML(), "<|endoftext|>")
"""SmolLM2-135M-Instruct. Its file names the beginning of a chat message as the beginning of a text; in its training
texts stood behind the end of another."""

KINDS: Final = {"llm": GEMMA, "smollm2": SMOLLM2}
"""By the name that a user chooses."""

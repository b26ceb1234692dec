"""A real language model as the sandbox's cheap tier, in process, from installed packages: Gemma 3 270M or SmolLM2."""

from __future__ import annotations

from streams.sandbox.language_model.model import LanguageModel

__all__ = ["LanguageModel"]

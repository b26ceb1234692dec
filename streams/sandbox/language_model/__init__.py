"""A real language model as the sandbox's cheap tier: Gemma 3 270M, in process, from installed packages."""

from __future__ import annotations

from streams.sandbox.language_model.model import LanguageModel

__all__ = ["LanguageModel"]

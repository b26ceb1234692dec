"""What the sandbox's cheap model can be; apart from the server, so that a command line need not load it."""

from __future__ import annotations

from typing import Literal, get_args

ModelKind = Literal["trained", "llm"]
"""A trained classifier, or a real language model, which needs the extra ``llm``."""

MODEL_KINDS: tuple[ModelKind, ...] = get_args(ModelKind)

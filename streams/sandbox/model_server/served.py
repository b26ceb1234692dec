"""What the server asks of a model, whichever kind it is."""

from __future__ import annotations

from typing import Protocol

from streams.sandbox.model_server.requests import ChatRequest, CompletionRequest
from streams.sandbox.model_server.wire import Spoken

CHEAP = "sandbox-cheap"
BIG = "sandbox-big"
ALIASES = (CHEAP, BIG)
"""The names under which the models are asked for; a body names the dated id instead."""

EMBEDDING = "sandbox-embedding"
"""The name under which embeddings are asked for, and the id in their bodies."""

DATE = "2026-08-01"
DRIFT_SEED = 7


class ServedModel(Protocol):
    """One model behind an alias."""

    @property
    def alias(self) -> str:
        """The name that requests ask for."""

    @property
    def id(self) -> str:
        """The dated id that a body carries."""

    def drifted(self, sigma: float) -> ServedModel:
        """Return this model with noise of ``sigma`` deviations in it; the same copy every time."""

    async def chat(self, request: ChatRequest) -> Spoken:
        """Answer a chat request with a label. Raises RequestRefused for one that the model cannot take."""

    async def complete(self, prompt: str, request: CompletionRequest) -> Spoken:
        """Answer one prompt of a completion request. Raises RequestRefused for one that the model cannot take."""

    async def close(self) -> None:
        """Let go of what the model holds."""

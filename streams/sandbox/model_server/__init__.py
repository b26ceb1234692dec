"""The sandbox's models: an OpenAI-compatible server with two real models and a switch for every fault."""

from __future__ import annotations

from streams.sandbox.model_server.process import ModelServer

__all__ = ["ModelServer"]

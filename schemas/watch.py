"""What is watched: probes of model endpoints, and the alerts that follow."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from schemas.base import Cost, Count, Message, Name


class Probe(Message):
    """One probe of one endpoint: the first token's logprobs, or the error; key: endpoint."""

    probe_id: Name
    endpoint: Name
    at_ms: Count
    model_asked: Name
    model_returned: str | None = None
    fingerprint: str | None = None
    prompt: str = "x"
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    k_asked: Annotated[int, Field(ge=1, le=100)] = 20
    logprobs: dict[str, Annotated[float, Field(allow_inf_nan=False)]] | None = None
    """Token to logprob in nats, as returned but for -inf and NaN: JSON has no number for them."""
    error: str | None = None
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cost_usd: Cost = 0.0
    """USD; None if the model's price is unknown."""


class Alert(Message):
    """Something that an operator must know; key: source."""

    alert_id: Name
    source: Name
    """What it is about: an endpoint, or a guard."""
    kind: Name
    at_ms: Count
    summary: str
    details: dict[str, Any] = Field(default_factory=dict)

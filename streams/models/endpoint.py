"""One model endpoint as it is configured: what every endpoint has, and what a chat endpoint has."""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Self

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from streams.errors import SettingsError
from streams.models.prices import Price, price_of

Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class HttpEndpoint(BaseModel):
    """An OpenAI-compatible endpoint: where it is, who we are to it, and how patient we are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What a request of ours is made of, and what would change the shape of the answer; ``extra`` may not set it.
    ours: ClassVar[frozenset[str]] = frozenset({"model"})

    base_url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    """Up to and including the version, such as https://api.example.com/v1."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of the environment variable that holds the key; the key itself stands in no file."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    """For one attempt."""
    deadline_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """For all attempts together, waits included."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    concurrency: Annotated[int, Field(ge=1, le=2000)] = 128
    """Requests in flight at once, and the size of the connection pool."""
    input_usd_per_million: Usd | None = None
    """Without it the price list's price counts. If it does not know the model, costs are null."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further request fields, such as {"thinking": {"type": "disabled"}}."""

    @field_validator("extra")
    @classmethod
    def _not_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if clash := sorted(cls.ours & extra.keys()):
            raise ValueError(f"may not set {', '.join(clash)}")
        try:
            orjson.dumps(extra)
        except orjson.JSONEncodeError as error:
            raise ValueError(f"invalid JSON: {error}") from None
        return extra

    @field_validator("base_url")
    @classmethod
    def _usable(cls, base_url: str) -> str:
        try:
            url = httpx.URL(base_url)
        except (httpx.InvalidURL, ValueError):
            raise ValueError("not a URL") from None
        if not url.host or "%" in url.host or not 0 <= (url.port or 0) <= 65535:
            raise ValueError("not a URL with a host and a valid port")
        if url.userinfo or url.query or url.fragment:
            raise ValueError("holds more than a host and a path; a key belongs into the variable api_key_env")
        return base_url

    @property
    def price(self) -> Price | None:
        """The endpoint's own price, or the price list's; None if neither knows it."""
        return price_of(self.model) if self.input_usd_per_million is None else Price(self.input_usd_per_million, 0.0)

    def api_key(self) -> SecretStr | None:
        """Return the key from the environment, without space around it.

        Raises SettingsError if the variable is named but not set, or holds what no HTTP header can carry.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise SettingsError(
                f"environment variable {self.api_key_env} is empty: it should hold the key for {self.model}"
            )
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(f"environment variable {self.api_key_env} holds characters that no key can have")
        return SecretStr(key)


class Endpoint(HttpEndpoint):
    """An OpenAI-compatible chat endpoint and how it is to be used."""

    ours: ClassVar[frozenset[str]] = frozenset(
        {"model", "messages", "logprobs", "top_logprobs", "temperature", "top_p", "max_tokens", "max_completion_tokens"}
        | {"stream", "n"}
    )

    top_logprobs: Annotated[int, Field(ge=1, le=20)] = 20
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 16
    max_tokens_field: Annotated[str, Field(pattern=r"^(max_tokens|max_completion_tokens)$")] = "max_tokens"
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    output_usd_per_million: Usd | None = None
    """Set together with the other price, or neither."""

    @model_validator(mode="after")
    def _both_prices(self) -> Self:
        if (self.input_usd_per_million is None) != (self.output_usd_per_million is None):
            raise ValueError("input_usd_per_million and output_usd_per_million are set both or neither")
        return self

    @property
    def price(self) -> Price | None:
        """The endpoint's own price, or the price list's; None if neither knows it."""
        if self.input_usd_per_million is None or self.output_usd_per_million is None:
            return price_of(self.model)
        return Price(self.input_usd_per_million, self.output_usd_per_million)

"""One webhook as it is configured: where it goes, what it is about, and how it is signed."""

from __future__ import annotations

import os
from typing import Annotated, Literal, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from streams.errors import SettingsError
from streams.webhooks.signature import key_of

_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
#: Bytes. A shorter secret can be guessed; the convention's own are 24 bytes or more.
_SHORTEST_SECRET = 16


class Webhook(BaseModel):
    """Where alerts or new reviews are posted to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    """What metrics and log lines call it."""
    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = Field(default=None, repr=False)
    url_env: _Variable | None = None
    """Name of the environment variable that holds the URL, if the URL itself is a secret, as Slack's are."""
    secret_env: _Variable | None = None
    """Name of the environment variable that holds the signing secret; without it nothing is signed."""
    about: Annotated[tuple[Literal["alerts", "reviews"], ...], Field(min_length=1)] = ("alerts",)
    shape: Literal["json", "slack"] = "json"
    """``slack`` is a message for Slack's incoming webhooks, and for what takes the same."""
    every_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """New reviews are put together: at most one message in this time."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """For one attempt."""
    attempts: Annotated[int, Field(ge=1, le=8)] = 5
    """The pauses between attempts are 1, 2, 4, 8 s ... with jitter, 15 s at most."""

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("one of url and url_env is expected")
        return self

    def address(self) -> httpx.URL:
        """Return the URL; raises SettingsError if the variable is empty or holds none."""
        text = self.url or _value(self.url_env or "", f"the URL of webhook {self.name}")
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            url = httpx.URL()
        if url.scheme not in {"http", "https"} or not url.host:
            raise SettingsError(f"webhook {self.name}: its URL is no http or https URL")
        return url

    def secret(self) -> SecretStr | None:
        """Return the signing secret; raises SettingsError if the variable is empty or holds too little."""
        if self.secret_env is None:
            return None
        secret = _value(self.secret_env, f"the signing secret of webhook {self.name}")
        try:
            key = key_of(secret)
        except ValueError as error:
            raise SettingsError(f"environment variable {self.secret_env}: {error}; copy the whole secret") from None
        if len(key) < _SHORTEST_SECRET:
            raise SettingsError(
                f"environment variable {self.secret_env}: a secret has {_SHORTEST_SECRET} characters or more, or, after "
                f"whsec_, the base64 of as many bytes"
            )
        return SecretStr(secret)


def _value(variable: str, what: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SettingsError(f"environment variable {variable} is empty: it should hold {what}")
    return value

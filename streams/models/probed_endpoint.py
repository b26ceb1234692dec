"""An endpoint that is probed, as it stands in ``endpoints.yaml``: which prompt, how often, under whose name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.base import MAX_NAME
from streams.errors import SettingsError
from streams.files import one_line, read_document
from streams.models.endpoint import Endpoint
from streams.models.negotiation import Api

_JITTER_SHARE = 0.1
_YEAR_S = 365.25 * 24 * 3600


class ProbedEndpoint(Endpoint):
    """An endpoint, and its probe: one short prompt, one output token, on a schedule."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    """What probes and alerts call it; a separate name for every entry."""
    provider: Annotated[str, Field(max_length=MAX_NAME)] = ""
    """Who serves it; the URL's host without it."""
    api: Api = "chat"
    prompt: Annotated[str, Field(min_length=1, max_length=2000)] = "x"
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 1
    """At first; an endpoint that demands more is asked for more."""
    interval_s: Annotated[float, Field(ge=0.01, le=30 * 24 * 3600)] = 3600.0
    jitter_s: Annotated[float, Field(ge=0)] | None = None
    """The most by which a probe comes after the beginning of its slot; a tenth of the interval without it."""

    @model_validator(mode="after")
    def _jitter_within_interval(self) -> Self:
        if self.jitter_s is not None and self.jitter_s >= self.interval_s:
            raise ValueError("jitter_s must be less than interval_s")
        return self

    @property
    def served_by(self) -> str:
        """The provider's name, or the host."""
        return self.provider or httpx.URL(self.base_url).host

    @property
    def interval_ms(self) -> int:
        """Milliseconds between two probes."""
        return round(self.interval_s * 1000)

    @property
    def jitter_ms(self) -> int:
        """The longest delay of a probe within its slot, milliseconds."""
        return round((self.interval_s * _JITTER_SHARE if self.jitter_s is None else self.jitter_s) * 1000)

    @property
    def probes_per_year(self) -> float:
        """How many probes the schedule makes in a year."""
        return _YEAR_S / self.interval_s


class ProbedEndpoints(BaseModel):
    """The endpoints file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: Annotated[tuple[ProbedEndpoint, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _take_a_bare_list(cls, values: Any) -> Any:
        return {"endpoints": values} if isinstance(values, list) else values

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        twice = [name for name, count in Counter(each.name for each in self.endpoints).items() if count > 1]
        if twice:
            raise ValueError(f"several endpoints have the name {', '.join(twice)}")
        return self

    def names_of(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return the names under which this endpoint is probed: the same URL and the same model."""
        place = (endpoint.base_url.rstrip("/"), endpoint.model)
        return tuple(each.name for each in self.endpoints if (each.base_url.rstrip("/"), each.model) == place)


def load_endpoints(path: Path) -> ProbedEndpoints:
    """Read and check a file of endpoints to probe; raises SettingsError with one line that names the fault."""
    document = read_document(path, "endpoints")
    try:
        return ProbedEndpoints.model_validate(document)
    except ValidationError as error:
        raise SettingsError(f"{path}: {one_line(error, ProbedEndpoints)}") from None

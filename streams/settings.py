"""Settings: one YAML file, overridden by environment variables, checked once, refused with one line that names the fault."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streams.core.labels import LabelSet
from streams.core.policy import Policy
from streams.delivery.driver import Limits
from streams.delivery.service import Connection
from streams.errors import SettingsError
from streams.models.endpoint import Endpoint

AgentName = Literal["classify", "score", "escalate", "review"]
AGENTS: tuple[AgentName, ...] = ("classify", "score", "escalate", "review")

Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(_Section):
    """Where Kafka is, and the patience of its group protocol (seconds)."""

    bootstrap: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    session_timeout_s: Seconds = 10.0
    heartbeat_s: Seconds = 1.0
    rebalance_timeout_s: Seconds = 20.0
    commit_interval_s: Seconds = 0.5

    @property
    def connection(self) -> Connection:
        """What the delivery module takes."""
        return Connection(**self.model_dump())


class TopicSettings(_Section):
    """Names and sizes of the topics."""

    prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,100}$")] = ""
    partitions: Annotated[int, Field(ge=1, le=1000)] = 8
    replication: Annotated[int, Field(ge=1, le=10)] = 1


class Tiers(_Section):
    """The two model endpoints."""

    cheap: Endpoint
    big: Endpoint


class ReviewSettings(_Section):
    """Where reviews are kept: an SQLAlchemy URL."""

    url: Annotated[str, Field(min_length=1)] = "sqlite:///hedgerow-reviews.db"


class MetricsSettings(_Section):
    """Where /metrics is served; no port, no server."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = None


class WorkerSettings(_Section):
    """How much a worker does at once, and how long it waits (seconds)."""

    in_flight: Annotated[int, Field(ge=1, le=5000)] = 128
    """Messages in progress at once, for each agent that calls out."""
    handler_deadline_s: Seconds = 120.0
    handler_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    revoke_wait_s: Seconds = 3.0
    stop_wait_s: Seconds = 20.0

    @property
    def limits(self) -> Limits:
        """What the driver takes."""
        return Limits(revoke_wait_s=self.revoke_wait_s)


class Settings(BaseSettings):
    """Everything a worker needs to know.

    An environment variable overrides the file: ``HEDGEROW_BROKER__BOOTSTRAP=kafka:9092`` is broker.bootstrap.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="HEDGEROW_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    broker: BrokerSettings = BrokerSettings()
    topics: TopicSettings = TopicSettings()
    labels: tuple[str, ...]
    label_aliases: bool = False
    """Let the models answer with A, B, C ...: for labels that begin one another or share a first token."""
    tiers: Tiers
    policy: Policy = Policy()
    review: ReviewSettings = ReviewSettings()
    metrics: MetricsSettings = MetricsSettings()
    worker: WorkerSettings = WorkerSettings()

    @property
    def label_set(self) -> LabelSet:
        """The labels, checked; raises SettingsError for a set that cannot be told apart."""
        return LabelSet.aliased(self.labels) if self.label_aliases else LabelSet(self.labels)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load_settings(path: Path) -> Settings:
    """Read and check a settings file; raises SettingsError with one line that names the fault.

    ``policy`` may be a file name, relative to the settings file.
    """
    values = read_yaml(path, "settings")
    if isinstance(policy := values.get("policy"), str):
        values["policy"] = load_policy(path.parent / policy)
    return check_settings(values, str(path))


def check_settings(values: Mapping[str, Any], origin: str) -> Settings:
    """Check settings from a mapping; raises SettingsError with one line that names the fault."""
    _refuse_unknown_variables()
    try:
        settings = Settings(**values)
        _ = settings.label_set, settings.tiers.cheap.price, settings.tiers.big.price
    except ValidationError as error:
        raise SettingsError(f"{origin}: {one_line(error)}") from None
    except SettingsError as error:
        raise SettingsError(f"{origin}: {error}") from None
    return settings


def load_policy(path: Path) -> Policy:
    """Read and check a policy file; raises SettingsError with one line that names the fault."""
    try:
        return Policy.model_validate(read_yaml(path, "policy"))
    except ValidationError as error:
        raise SettingsError(f"{path}: {one_line(error)}") from None


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML mapping; raises SettingsError for a file that is away, unreadable or no mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{what} file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what} file {path}: no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{what} file {path}: a mapping is expected, not {type(values).__name__}")
    return values


def one_line(error: ValidationError) -> str:
    """Return the first fault with the key it is about, and how many more there are."""
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"]) or "file"
    if first["type"] == "extra_forbidden":
        text = f"unknown key {where}"
    elif first["type"] == "missing":
        text = f"{where} is missing"
    else:
        text = f"{where}: {first['msg']} (it is {first['input']!r:.80})"
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"


def _refuse_unknown_variables() -> None:
    """A misspelt variable would silently leave the default in force."""
    known = set(Settings.model_fields)
    for name in os.environ:
        if name.startswith("HEDGEROW_") and "__" in name:
            section = name.removeprefix("HEDGEROW_").split("__", 1)[0].lower()
            if section not in known:
                raise SettingsError(f"environment variable {name}: unknown section {section}")

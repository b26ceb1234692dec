"""The sections of the settings file that are about this process and what it is connected to."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from streams.delivery.handling import LONGEST_PAUSE_S
from streams.delivery.stage import Limits
from streams.kafka.client_security import ClientSecurity
from streams.kafka.connection import Connection
from streams.models.endpoint import Endpoint

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
    security: ClientSecurity = ClientSecurity()
    """Who we are to Kafka, and how we know it."""

    @property
    def connection(self) -> Connection:
        """What the delivery module takes."""
        return Connection(**(self.model_dump(exclude={"security"}) | {"security": self.security}))


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

    url: Annotated[str, Field(min_length=1, repr=False)] = "sqlite:///hedgerow-reviews.db"
    """Left out of every repr: it may hold a password."""


class MetricsSettings(_Section):
    """Where /metrics is served; no port, no server."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] | None = None


class WorkerSettings(_Section):
    """How much a worker does at once, and how long it waits (seconds)."""

    in_flight: Annotated[int, Field(ge=1, le=5000)] = 160
    """Messages in a handler at once, for each agent that calls out.

    A quarter more than an endpoint's ``concurrency``, so that the next request is ready where a connection falls free.
    """
    handler_deadline_s: Seconds = 120.0
    handler_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    revoke_wait_s: Seconds = 3.0
    stop_wait_s: Seconds = 20.0
    stall_limit_s: Seconds | None = None
    """Work and no sign of life for this long end a worker; without a value ``stalled_after_s`` says how long."""

    @property
    def stalled_after_s(self) -> float:
        """``stall_limit_s``, or twice what one attempt and the pause after it may take, whichever is set (seconds)."""
        return self.stall_limit_s or 2 * (self.handler_deadline_s + LONGEST_PAUSE_S)

    @property
    def limits(self) -> Limits:
        """What the driver takes."""
        return Limits(revoke_wait_s=self.revoke_wait_s)

"""What the rest of Hedgerow needs of a local broker, whichever it is."""

from __future__ import annotations

from typing import Literal, Protocol, Self


class Broker(Protocol):
    """A Kafka broker that we start and stop ourselves; ``async with`` does both.

    ``start`` raises SandboxError when the broker cannot run here and returns when clients can use it.
    ``stop`` may be called twice, and from another event loop than the one that started it.
    """

    @property
    def kind(self) -> Literal["embedded", "kafka"]:
        """Which one it is: Tansu keeps no transactions and no commit metadata, Apache Kafka does."""

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every node, comma separated."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of what is running; empty when nothing is."""

    async def start(self) -> None:
        """Start it and wait until it answers."""

    async def stop(self) -> None:
        """Stop it; its port is free and its processes are gone afterwards."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

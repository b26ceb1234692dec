"""Whether the broker answers: asked over a separate connection, since a client that waits for it only tries again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import structlog
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from streams.aio import in_background
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import dial

log = structlog.get_logger(__name__)

_INTERVAL_S = 2.0
#: For one answer. A broker that is frozen takes connections and says nothing.
_PATIENCE_S = 3.0
_SAY_AGAIN_S = 60.0


class _Asked(Protocol):
    def send(self, request: Any, /) -> Awaitable[object]: ...

    def close(self) -> object: ...


class BrokerWatch:
    """Asks the broker every two seconds, logs each change and then one line a minute; ``problem`` is why it is unavailable.

    ``now`` is in seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        connect: Callable[[], Awaitable[_Asked]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.problem: str | None = None
        self._bootstrap = connection.bootstrap
        self._connect = connect or (lambda: dial(connection.bootstrap, connection.security))
        self._sleep = sleep
        self._now = now
        self._patience_s = patience_s
        self._asked: _Asked | None = None
        self._down_since = 0.0
        self._said_at = 0.0

    def running(self) -> AbstractAsyncContextManager[None]:
        """Ask in the background."""
        return in_background(self._run())

    async def _run(self) -> None:
        try:
            while True:
                self._take(await self._ask())
                await self._sleep(_INTERVAL_S)
        finally:
            self._hang_up()

    async def _ask(self) -> str | None:
        """Return why no broker answers, or None if one does."""
        problem = None
        # Another broker of the cluster may answer if the one that was asked last does not.
        for _ in range(1 if self._asked is None else 2):
            problem = await self._ask_once()
            if problem is None:
                return None
            self._hang_up()
        return problem

    async def _ask_once(self) -> str | None:
        try:
            async with asyncio.timeout(self._patience_s):
                if self._asked is None:
                    self._asked = await self._connect()
                await self._asked.send(MetadataRequest([]))
        except StopWorker as refused:
            return str(refused)
        except TimeoutError:
            return f"the Kafka broker at {self._bootstrap} does not answer within {self._patience_s:g} s"
        except (KafkaError, OSError) as error:
            return (
                f"the connection to the Kafka broker at {self._bootstrap} broke: {str(error) or type(error).__name__}"
            )
        return None

    def _hang_up(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.close()

    def _take(self, problem: str | None) -> None:
        before, self.problem, now = self.problem, problem, self._now()
        if problem is not None and before is None:
            self._down_since = self._said_at = now
            log.error("the broker is unavailable: work waits for it, nothing is lost", problem=problem)
        elif problem is not None and now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            log.error("the broker is still unavailable", down_s=round(now - self._down_since), problem=problem)
        elif problem is None and before is not None:
            log.info("the broker answers again", down_s=round(now - self._down_since))

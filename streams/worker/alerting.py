"""Sends alerts at once that belong to no ticket: those of an outage, during which no handler returns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from schemas import Alert
from streams.errors import HedgerowError
from streams.kafka.connection import Connection
from streams.kafka.send import open_outbox

log = structlog.get_logger(__name__)


class AlertSender:
    """Sends alerts in their order, from ``run``; ``tell`` never waits. ``sent`` is called with each that is on its way."""

    def __init__(self, connection: Connection, prefix: str, sent: Callable[[Alert], None]) -> None:
        self._connection = connection
        self._prefix = prefix
        self._sent = sent
        self._alerts: asyncio.Queue[Alert] = asyncio.Queue()

    def tell(self, alert: Alert) -> None:
        """Send an alert as soon as the broker takes it."""
        self._sent(alert)
        self._alerts.put_nowait(alert)

    async def run(self) -> None:
        """Send until cancelled; what cannot be sent is logged, and the worker goes on."""
        while True:
            alert = await self._alerts.get()
            try:
                async with open_outbox(self._connection, prefix=self._prefix) as outbox:
                    await outbox.send([alert])
                    while not self._alerts.empty():
                        await outbox.send([self._alerts.get_nowait()])
            except HedgerowError as error:
                log.warning("an alert was not sent", kind=alert.kind, source=alert.source, problem=str(error))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run in the background."""
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

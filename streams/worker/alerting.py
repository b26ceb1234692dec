"""Sends alerts at once that belong to no ticket: those of an outage, during which no handler returns."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog

from schemas import Alert
from streams.aio import Changes, in_background
from streams.errors import GiveUp, HedgerowError

log = structlog.get_logger(__name__)

#: More alerts than this do not wait for a broker: the oldest is dropped, since the latest say how things are.
MOST_WAITING = 1_000
_PAUSE_S = 2.0
#: An alert of the worker before this one is on the topic, and read, by then, seconds.
TURN_S = 0.5
_LONGEST_TURN_S = 5.0
#: How long a stop waits for the alerts that are not sent yet, seconds.
_STOP_WAIT_S = 3.0


class AlertOutbox(Protocol):
    """Where alerts go; the Outbox is one."""

    async def send(self, messages: Sequence[Alert]) -> None:
        """Send, and wait until the broker has them. Raises GiveUp for what it will never take."""


class AlertSender:
    """Sends alerts in their order, from ``running``; ``tell`` never waits. An unavailable broker is waited for.

    ``connect`` opens an outbox, and raises StopWorker without a broker. ``told`` is called with every alert. Workers find the
    same at the same moment: each lets those before it (``rank``, how many there are) have their say, and leaves out
    what the topic has by then (``is_on_topic``).
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[AlertOutbox]],
        told: Callable[[Alert], None],
        is_on_topic: Callable[[Alert], bool] = lambda _: False,
        rank: Callable[[], int] = lambda: 0,
    ) -> None:
        self._connect = connect
        self._told = told
        self._is_on_topic = is_on_topic
        self._rank = rank
        self._waiting: deque[tuple[Alert, float]] = deque()
        self._changes = Changes()
        self._dropped = 0

    def tell(self, alert: Alert) -> None:
        """Send an alert as soon as the broker takes it."""
        self._told(alert)
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            if not self._dropped:
                log.error("too many alerts wait for the broker: the oldest are dropped", waiting=MOST_WAITING)
            self._dropped += 1
        turn = time.monotonic() + min(self._rank() * TURN_S, _LONGEST_TURN_S)
        self._waiting.append((alert, turn))
        self._changes.note()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send in the background; at the end, what waits has a few seconds to be sent."""
        try:
            async with in_background(self._run()):
                try:
                    yield
                finally:
                    await self._changes.until(lambda: not self._waiting, _STOP_WAIT_S)
        finally:
            if self._waiting:
                log.error("alerts were not sent", count=len(self._waiting), first=self._waiting[0][0].summary)

    async def _run(self) -> None:
        unsent = False
        while True:
            if not self._waiting:
                await self._changes.next()
            try:
                async with self._connect() as outbox:
                    while self._waiting:
                        await self._send(outbox, self._waiting[0])
            except HedgerowError as error:
                if not unsent:
                    log.warning("alerts wait for the broker", waiting=len(self._waiting), problem=str(error))
                unsent = True
                await asyncio.sleep(_PAUSE_S)
                continue
            if unsent or self._dropped:
                log.info("alerts that waited were sent", dropped=self._dropped)
            unsent, self._dropped = False, 0

    async def _send(self, outbox: AlertOutbox, told: tuple[Alert, float]) -> None:
        alert, turn = told
        await asyncio.sleep(max(0.0, turn - time.monotonic()))
        if not self._is_on_topic(alert):
            try:
                await outbox.send([alert])
            except GiveUp as refused:
                log.warning("an alert cannot be sent", kind=alert.kind, source=alert.source, problem=str(refused))
        if self._waiting and self._waiting[0] is told:  # else it was dropped meanwhile
            self._waiting.popleft()
        self._changes.note()

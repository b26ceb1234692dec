"""Where every ticket ended and when, by the broker's clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.kafka.connection import Connection
from streams.kafka.readers import reader

_WATCHED = ("routed", "reviews", "dead-letters")
_LOOK_S = 0.5
#: Outcomes carry the broker's time, so they may be read seldom: fetches for a measurement are load that no arm has made.
_PAUSE_S = 0.1


def ticket_of(message: dict[str, Any]) -> str:
    """Return the id of the ticket that a message is about, or of the letter if there is none."""
    return str(message.get("ticket_id") or message.get("ticket", {}).get("ticket_id") or message["letter_id"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """One ticket's end: when the broker got it (``time.time``), by whom it was decided, after how many model calls."""

    at: float
    route: str
    calls: int


@dataclass
class Outcomes:
    """The first outcome of each ticket; ``repeated`` counts the others."""

    tickets: dict[str, Outcome] = field(default_factory=dict)
    repeated: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def routes(self) -> Counter[str]:
        """How many tickets went which way."""
        return Counter(outcome.route for outcome in self.tickets.values())

    async def until(self, count: int, patience_s: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Wait for ``count`` tickets; raises TimeoutError if none comes for ``patience_s``, or while nobody is alive."""
        quiet = 0.0
        while len(self.tickets) < count:
            self._more.clear()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._more.wait()
                quiet = 0.0
            except TimeoutError:
                quiet += _LOOK_S
                if quiet > patience_s or not alive():
                    raise

    async def watch(self, consumer: Any, prefix: str) -> None:
        """Note what the consumer reads, until cancelled."""
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    self.see(tp.topic.removeprefix(prefix), orjson.loads(record.value), record.timestamp / 1000)
                self._more.set()
            await asyncio.sleep(_PAUSE_S)

    def see(self, topic: str, message: dict[str, Any], at: float) -> None:
        """Note one message of a topic, which the broker got at this moment (seconds, ``time.time``)."""
        ticket = ticket_of(message)
        if ticket in self.tickets:
            self.repeated += 1
            return
        self.tickets[ticket] = Outcome(at, message.get("decided_by", topic), len(message.get("calls", ())))


@asynccontextmanager
async def watching(connection: Connection, prefix: str) -> AsyncIterator[Outcomes]:
    """Yield the outcomes on the topics of this prefix, from the beginning."""
    outcomes = Outcomes()
    async with reader(_WATCHED, connection, prefix=prefix) as consumer:
        task = asyncio.create_task(outcomes.watch(consumer, prefix))
        try:
            yield outcomes
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

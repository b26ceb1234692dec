"""Whether the broker answers: one line at each change and one a minute in between."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import structlog

from streams.errors import StopWorker
from streams.kafka.broker_watch import BrokerWatch
from streams.kafka.connection import Connection


class Broker:
    """A broker whose state each look takes from a list; the watch is cancelled at its end."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)
        self.connected = 0
        self.closed = 0
        self.now = 0.0
        self.watch = BrokerWatch(
            Connection("a:1"), connect=self.connect, sleep=self.sleep, now=lambda: self.now, patience_s=0.01
        )
        self.problems: list[str | None] = []

    async def connect(self) -> Broker:
        if self.states[0] == "refuses":
            raise StopWorker("no Kafka broker answers at a:1")
        self.connected += 1
        return self

    async def send(self, _request: object) -> None:
        if self.states[0] == "frozen":
            await asyncio.Event().wait()
        if self.states[0] in {"breaks", "refuses"}:
            raise ConnectionResetError("gone")

    def close(self) -> None:
        self.closed += 1

    async def sleep(self, seconds: float) -> None:
        self.problems.append(self.watch.problem)
        self.now += seconds
        self.states.pop(0)
        if not self.states:
            raise asyncio.CancelledError

    async def looked_at(self) -> list[MutableMapping[str, Any]]:
        with structlog.testing.capture_logs() as lines:
            async with self.watch.running():
                while self.states:
                    await asyncio.sleep(0.001)
        return lines


async def test_a_broker_that_answers_is_asked_over_one_connection_and_nothing_is_said() -> None:
    broker = Broker(*["well"] * 5)
    assert await broker.looked_at() == []
    assert (broker.connected, broker.closed, broker.problems) == (1, 1, [None] * 5)


async def test_one_line_at_each_change_and_one_a_minute() -> None:
    broker = Broker("well", *["refuses"] * 70, "well", "well")
    lines = await broker.looked_at()
    assert [(line["event"].partition(":")[0], line.get("down_s")) for line in lines] == [
        ("the broker is unavailable", None),
        ("the broker is still unavailable", 60),
        ("the broker is still unavailable", 120),
        ("the broker answers again", 140),
    ]
    assert lines[0]["problem"] == "no Kafka broker answers at a:1"


async def test_a_broker_that_takes_connections_and_says_nothing_is_unavailable() -> None:
    broker = Broker("well", "frozen", "well")
    await broker.looked_at()
    assert broker.problems == [None, "the Kafka broker at a:1 does not answer within 0.01 s", None]
    assert broker.connected == broker.closed


async def test_a_connection_that_breaks_is_no_outage_if_another_one_can_be_had() -> None:
    broker = Broker("well", "breaks", "well")
    sent = broker.send

    async def once(request: object) -> None:
        state, broker.states[0] = broker.states[0], "well"
        if state == "breaks":
            raise ConnectionResetError("gone")
        await sent(request)

    broker.send = once  # type: ignore[method-assign]
    assert await broker.looked_at() == []
    assert broker.connected == 2

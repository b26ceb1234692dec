"""What a worker says in its log: ready, its partitions, what it did in a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.agents.registry import AgentName
from streams.aio import Changes
from streams.observability.metrics import Totals
from streams.worker.activity import Activity, ranges
from tests.support.records import loop_turns

NOTHING = Totals({}, 0, 0, 0, 0, 0, 0.0, None)
MINUTE = Totals({"classify": 120, "score": 118, "drift": 3}, 100, 15, 5, 1, 135, 0.0123456789, 7)


class Minutes:
    """A clock in the test's hands: ``passes`` ends the sleep of one minute."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._asleep = asyncio.Semaphore(0)
        self._awake = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._asleep.release()
        await self._awake.acquire()

    async def passes(self, count: int = 1) -> None:
        for _ in range(count):
            await self._asleep.acquire()
            self._awake.release()
        # The line is written before the next sleep begins.
        await self._asleep.acquire()
        self._asleep.release()


class Stand:
    """An activity with everything around it in the test's hands."""

    def __init__(self, *agents: AgentName) -> None:
        self.agents = agents
        self.partitions: dict[str, Sequence[int] | None] = dict.fromkeys(agents)
        self.totals = NOTHING
        self.minutes = Minutes()
        self.rebalances = Changes()
        self.lines: list[Any] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        activity = Activity(
            self.agents,
            self.partitions.__getitem__,
            lambda: self.totals,
            {"broker": "kafka:9092", "metrics": "http://127.0.0.1:9100/metrics"},
            sleep=self.minutes.sleep,
        )
        with capture_logs() as self.lines:
            task = asyncio.create_task(activity.run(self.rebalances.next))
            await loop_turns()
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})

    async def rebalance(self, agent: str, partitions: Sequence[int] | None) -> None:
        self.partitions[agent] = partitions
        self.rebalances.note()
        await loop_turns()

    def said(self) -> list[dict[str, Any]]:
        lines, self.lines[:] = list(self.lines), []
        return [{name: value for name, value in line.items() if name != "log_level"} for line in lines]


async def test_a_worker_is_ready_once_every_agent_has_its_partitions() -> None:
    stand = Stand("classify", "score")
    async with stand.running():
        await stand.rebalance("classify", [0, 1, 2, 5])
        assert stand.said() == []
        await stand.rebalance("score", [])
        assert stand.said() == [
            {
                "event": "worker ready",
                "agents": "classify, score",
                "partitions": "classify 0-2, 5; score none",
                "broker": "kafka:9092",
                "metrics": "http://127.0.0.1:9100/metrics",
            }
        ]


async def test_partitions_that_every_agent_has_are_said_once() -> None:
    stand = Stand("classify", "score")
    async with stand.running():
        await stand.rebalance("classify", [0, 1, 2])
        await stand.rebalance("score", [2, 1, 0])
        [line] = stand.said()
    assert line["partitions"] == "0-2 of every agent"


async def test_a_rebalance_says_the_new_partitions_once_and_an_unchanged_one_nothing() -> None:
    stand = Stand("classify", "score")
    async with stand.running():
        await stand.rebalance("classify", [0, 1])
        await stand.rebalance("score", [0, 1])
        stand.said()
        await stand.rebalance("classify", None)
        await stand.rebalance("score", [1, 0])
        assert stand.said() == []
        await stand.rebalance("classify", [1])
        await stand.rebalance("classify", [1])
        assert stand.said() == [{"event": "partitions assigned", "agent": "classify", "partitions": "1"}]


async def test_a_line_a_minute_says_what_was_done_in_that_minute() -> None:
    stand = Stand("score", "classify", "drift")
    async with stand.running():
        stand.totals = MINUTE
        await stand.minutes.passes()
        expected = {
            "event": "last minute",
            "tickets": 120,
            "routed": 100,
            "escalated": 15,
            "to_review": 5,
            "watched": 3,
            "dead_letters": 1,
            "model_calls": 135,
            "cost_usd": 0.012346,
            "lag": 7,
        }
        assert stand.said() == [expected]
        stand.totals = replace(MINUTE, handled=MINUTE.handled | {"classify": 121}, lag=0)
        await stand.minutes.passes()
        [line] = stand.said()
        assert (line["tickets"], line["routed"], line["cost_usd"], line["lag"]) == (1, 0, 0, 0)
    assert set(stand.minutes.slept) == {60.0}


async def test_a_worker_that_only_watches_speaks_of_no_tickets() -> None:
    stand = Stand("drift", "cause")
    async with stand.running():
        stand.totals = replace(NOTHING, handled={"drift": 2, "cause": 1})
        await stand.minutes.passes()
        assert stand.said() == [{"event": "last minute", "watched": 3, "dead_letters": 0}]


async def test_a_quiet_worker_says_so_every_ten_minutes_only() -> None:
    stand = Stand("classify")
    async with stand.running():
        await stand.minutes.passes(9)
        assert stand.said() == []
        await stand.minutes.passes()
        assert stand.said() == [{"event": "nothing to do", "minutes": 10}]
        await stand.minutes.passes(5)
        stand.totals = MINUTE
        await stand.minutes.passes()
        assert [line["event"] for line in stand.said()] == ["last minute"]
        await stand.minutes.passes(9)
        assert stand.said() == []


@pytest.mark.parametrize(
    ("numbers", "text"), [([], "none"), ([4], "4"), ([0, 1], "0-1"), ([7, 0, 2, 1, 9, 8], "0-2, 7-9")]
)
def test_partition_numbers_are_said_in_short(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text

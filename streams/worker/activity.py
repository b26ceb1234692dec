"""What a worker says about itself in its log: that it is ready, its partitions, and a line a minute of what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise

import structlog

from streams.agents.registry import AGENTS, WATCHERS, AgentName
from streams.observability.metrics import Totals

log = structlog.get_logger(__name__)

MINUTE_S = 60.0
#: A quiet worker says that it is there after this many minutes without work.
_QUIET_MINUTES = 10


class Activity:
    """Logs one worker's readiness, partitions and work.

    ``partitions`` returns an agent's partition numbers, or None while a rebalance is in progress. ``totals`` returns
    what was counted since the start. ``facts`` go with the line that says that the worker is ready.
    """

    def __init__(
        self,
        agents: Sequence[AgentName],
        partitions: Callable[[str], Sequence[int] | None],
        totals: Callable[[], Totals],
        facts: Mapping[str, str],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._agents = tuple(agents)
        self._partitions = partitions
        self._totals = totals
        self._facts = facts
        self._sleep = sleep
        self._said: dict[str, str] = {}
        # The tickets of a worker are what its first agent in the pipeline handles: later ones handle the same again.
        self._first = next((agent for agent in AGENTS if agent in self._agents), None)
        self._watchers = [agent for agent in self._agents if agent in WATCHERS]

    async def run(self, rebalanced: Callable[[], Awaitable[None]]) -> None:
        """Report for ever; ``rebalanced`` waits for the next rebalance of an agent."""
        await asyncio.gather(self._follow(rebalanced), self._every_minute())

    async def _follow(self, rebalanced: Callable[[], Awaitable[None]]) -> None:
        while True:
            self.report_partitions()
            await rebalanced()

    def report_partitions(self) -> None:
        """Say "worker ready" once every agent has its partitions; from then on, each change of an agent's partitions."""
        shown: dict[str, str] = {}
        for agent in self._agents:
            numbers = self._partitions(agent)
            if numbers is not None:
                shown[agent] = ranges(numbers)
        if not self._said:
            if len(shown) == len(self._agents):
                self._said = shown
                log.info("worker ready", agents=", ".join(self._agents), partitions=_by_agent(shown), **self._facts)
            return
        for name, text in shown.items():
            if text != self._said[name]:
                self._said[name] = text
                log.info("partitions assigned", agent=name, partitions=text)

    async def _every_minute(self) -> None:
        before, quiet = self._totals(), 0
        while True:
            await self._sleep(MINUTE_S)
            now = self._totals()
            done = now - before
            before = now
            if done:
                quiet = 0
                log.info("last minute", **self._work(done), **_lag(now))
                continue
            quiet += 1
            if quiet == _QUIET_MINUTES:
                quiet = 0
                log.info("nothing to do", minutes=_QUIET_MINUTES, **_lag(now))

    def _work(self, done: Totals) -> dict[str, float]:
        work: dict[str, float] = {}
        if self._first is not None:
            work |= {
                "tickets": done.handled.get(self._first, 0),
                "routed": done.routed,
                "escalated": done.escalated,
                "to_review": done.to_review,
            }
        if self._watchers:
            work["watched"] = sum(done.handled.get(agent, 0) for agent in self._watchers)
        work["dead_letters"] = done.dead_letters
        if self._first is not None:
            work |= {"model_calls": done.model_calls, "cost_usd": round(done.cost_usd, 6)}
        return work


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers in short: "0-3, 7"; "none" without any."""
    found = sorted(numbers)
    if not found:
        return "none"
    begins = [found[0], *(after for before, after in pairwise(found) if after != before + 1)]
    ends = [*(before for before, after in pairwise(found) if after != before + 1), found[-1]]
    return ", ".join(
        f"{first}" if first == last else f"{first}-{last}" for first, last in zip(begins, ends, strict=True)
    )


def _by_agent(shown: Mapping[str, str]) -> str:
    if len(shown) > 1 and len(numbers := set(shown.values())) == 1:
        return f"{numbers.pop()} of every agent"
    return "; ".join(f"{agent} {numbers}" for agent, numbers in shown.items())


def _lag(now: Totals) -> dict[str, int]:
    """Return the messages that wait, as the last commits saw it; nothing before the first commit."""
    return {} if now.lag is None else {"lag": now.lag}

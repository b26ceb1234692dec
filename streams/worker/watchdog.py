"""The watchdog of a worker: looks at every agent now and then, says how it stands, and ends a worker that stalls."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from schemas import Message
from streams.aio import Changes
from streams.core.wording import counted
from streams.delivery.service import StageService
from streams.errors import StopWorker
from streams.observability.liveness import Progress, Sample, Standing, State
from streams.observability.metrics import MetricsObserver

log = structlog.get_logger(__name__)

#: Returns how many records wait from these offsets on, or None if the broker does not answer.
LagOf = Callable[[Mapping[tuple[str, int], int | None]], Awaitable[int | None]]
#: How many times the watchdog looks within one limit.
_LOOKS = 10


class WatchedObserver(MetricsObserver):
    """The metrics, and alongside them each agent's signs of life and how many partitions its last rebalance gave it."""

    def __init__(self) -> None:
        super().__init__()
        self.signs: Counter[str] = Counter()
        self.rebalances = Changes()
        self.partitions: dict[str, int] = {}

    def handled(self, agent: str, outputs: Sequence[Message], seconds: float) -> None:
        """Count what went out; a message is finished."""
        self.signs[agent] += 1
        super().handled(agent, outputs, seconds)

    def retried(self, agent: str, reason: str) -> None:
        """Count a retry: an attempt has come to its end, though to no good one."""
        self.signs[agent] += 1
        super().retried(agent, reason)

    def skipped(self, agent: str, why: str, count: int) -> None:
        """Count messages that needed no handler call."""
        self.signs[agent] += 1
        super().skipped(agent, why, count)

    def held(self, agent: str, count: int) -> None:
        """Take a hold that begins or ends for a sign of life."""
        self.signs[agent] += 1
        super().held(agent, count)

    def rebalanced(self, agent: str, partitions: int, seconds: float) -> None:
        """Count a rebalance that has ended."""
        self.signs[agent] += 1
        self.partitions[agent] = partitions
        super().rebalanced(agent, partitions, seconds)
        self.rebalances.note()

    def replayed(self, agent: str) -> None:
        """Count one old message that an agent's memory has read again."""
        self.signs[agent] += 1


class Watchdog:
    """Samples the agents of one worker; ``standings`` has what it saw last, by agent.

    An agent that had work and no sign of life for ``limit_s`` seconds is given up, with the one line that says so, and with it
    its worker. ``lag_of`` is asked about an agent that shows none.
    """

    def __init__(
        self,
        services: Sequence[StageService],
        observer: WatchedObserver,
        limit_s: float,
        lag_of: LagOf,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.standings: dict[str, Standing] = {}
        self._services = {service.stage.agent: service for service in services}
        self._progress = {agent: Progress(limit_s) for agent in self._services}
        self._seen: dict[str, int] = {}
        self._observer = observer
        self._interval_s = limit_s / _LOOKS
        self._lag_of = lag_of
        self._now = now

    async def run(self) -> None:
        """Look at every agent, again and again, until one is given up."""
        while not any(standing.state is State.STALLED for standing in self.standings.values()):
            await asyncio.gather(*(self.look(agent) for agent in self._services))
            await asyncio.sleep(self._interval_s)

    async def look(self, agent: str) -> None:
        """Take one agent's sample, and act on it."""
        sample = await self._sample(agent)
        standing = self._progress[agent].update(sample)
        self.standings[agent] = standing
        self._observer.standing(agent, standing)
        if standing.state is State.STALLED:
            self._services[agent].give_up(
                StopWorker(
                    f"the {agent} agent has stalled: {counted(sample.unfinished, 'message')} in progress, {sample.lag} or more "
                    f"waiting, and no sign of life for {standing.quiet_s:.0f} s; start the worker again"
                )
            )

    def joined(self, agent: str) -> bool:
        """Return whether an assignment of the agent's group stands here; one of no partition is one."""
        partitions = self._observer.partitions.get(agent)
        return partitions is not None and len(self._services[agent].runner.workload().positions) == partitions

    def partitions(self, agent: str) -> list[int] | None:
        """Return the numbers of the agent's partitions, or None while no assignment stands."""
        positions = self._services[agent].runner.workload().positions
        return [number for _, number in positions] if self.joined(agent) else None

    async def _sample(self, agent: str) -> Sample:
        runner, signs = self._services[agent].runner, self._observer.signs
        lag: int | None = 0
        if self._seen.get(agent) == signs[agent]:
            lag = await self._lag_of(runner.workload().positions)
        self._seen[agent] = signs[agent]
        workload = runner.workload()  # after the broker's answer, which may have taken seconds
        return Sample(
            at_s=self._now(),
            signs=signs[agent],
            unfinished=workload.unfinished,
            lag=lag,
            joined=self.joined(agent),
            held=workload.sending or workload.held > 0 or workload.paused,
        )

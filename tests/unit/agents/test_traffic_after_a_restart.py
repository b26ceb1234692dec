"""A change of the traffic is told once by all workers together, and a restart neither hides one nor makes one up."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence

from schemas import Alert, Classification
from streams.agents.traffic import TrafficHandler
from streams.core.drift.traffic import TrafficLimits
from streams.core.drift.traffic_told import TrafficTold
from streams.core.policy.policy import Policy
from tests.support.messages import attempt, call, scored, ticket

LIMITS = TrafficLimits(reference=400, window=200)


class Topics:
    """What was classified, and what was told, as the workers read it."""

    def __init__(self) -> None:
        self.classified: list[Classification] = []
        self.told = TrafficTold()
        self.alerts: dict[str, Alert] = {}
        self.chance = random.Random(9)

    def worker(self) -> TrafficHandler:
        return TrafficHandler(Policy(), LIMITS, "mini", lambda: self.told.last_ms("mini"), self.history)

    async def history(self, before: Mapping[tuple[str, int], int]) -> AsyncIterator[Classification]:
        for end in before.values():
            for message in self.classified[max(0, end - LIMITS.reference - LIMITS.window) : end]:
                yield message

    def feed(self, workers: Sequence[TrafficHandler], times: int, confidence: float, *, heard: bool = True) -> None:
        for _ in range(times):
            number = len(self.classified)
            signal = scored("refund", confidence=confidence - self.chance.random() * 0.1)
            made = call(signal=signal, attempts=(attempt(at_ms=1000 + number),))
            text = "x" * self.chance.randint(20, 60)
            self.classified.append(Classification(ticket=ticket(str(number), text=text), call=made))
            for alert in workers[number % len(workers)](self.classified[-1]):
                self.alerts[alert.alert_id] = alert
                if heard:
                    self.told.update(alert)

    async def again(self) -> TrafficHandler:
        worker = self.worker()
        await worker.catch_up({("classifications", 0): len(self.classified)})
        return worker


async def test_a_change_that_straddles_a_restart_is_found_and_told_once() -> None:
    topics = Topics()
    worker = topics.worker()
    topics.feed([worker], 1000, 0.9)
    topics.feed([worker], 20, 0.3)
    assert topics.alerts == {}
    worker = await topics.again()
    topics.feed([worker], 100, 0.3)
    assert len(topics.alerts) == 1
    worker = await topics.again()
    topics.feed([worker], 1000, 0.3)
    assert len(topics.alerts) == 1


async def test_restarts_of_unchanged_traffic_tell_nothing_and_a_later_change_is_found() -> None:
    topics = Topics()
    for _ in range(8):
        topics.feed([await topics.again()], 150, 0.9)
    assert topics.alerts == {}
    topics.feed([await topics.again()], 150, 0.3)
    assert len(topics.alerts) == 1


async def test_several_workers_tell_a_change_once_and_under_one_id_if_they_find_it_at_the_same_time() -> None:
    for heard in (True, False):
        topics = Topics()
        workers = [topics.worker() for _ in range(4)]
        topics.feed(workers, 4 * 700, 0.9)
        topics.feed(workers, 4 * 100, 0.3, heard=heard)
        assert len(topics.alerts) == 1
    topics = Topics()
    workers = [topics.worker() for _ in range(4)]
    topics.feed(workers, 4 * 700, 0.9)
    topics.feed(workers, 4 * 800, 0.3)
    assert len(topics.alerts) == 1
    topics.feed(workers, 4 * 100, 0.9)
    assert len(topics.alerts) == 2


async def test_after_a_rebalance_nothing_is_counted_twice() -> None:
    topics = Topics()
    worker = topics.worker()
    topics.feed([worker], 500, 0.9)
    worker.forget()
    await worker.catch_up({("classifications", 0): len(topics.classified)})
    assert worker._watch.missing == 100

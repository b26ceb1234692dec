"""Exactly once: what a plain reader of committed messages sees, on Apache Kafka; and its refusal where there are no transactions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from schemas import Message, Ticket
from streams.errors import StopWorker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.process import ChildProcess
from tests.support.stages import PATIENCE_S, Stored, Topics, topics_on, verdict


async def answer(ticket: Ticket) -> Sequence[Message]:
    await asyncio.sleep(0.01)
    return [verdict(ticket)]


def compute(ticket: Ticket) -> Sequence[Message]:
    return [verdict(ticket)]


def names(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def test_a_broker_without_transactions_is_refused_with_one_line(embedded_broker: EmbeddedBroker) -> None:
    async with topics_on(embedded_broker, partitions=1) as topics:
        with pytest.raises(StopWorker) as refused:
            async with topics.service(answer, delivery="exactly_once"):
                raise AssertionError("it has started")
    assert "set delivery: at_least_once" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.kafka
@pytest.mark.parametrize("handler", [answer, compute])
async def test_outputs_and_offsets_arrive_together(kafka_broker: LocalKafka, handler: object) -> None:
    async with topics_on(kafka_broker) as topics:
        await topics.produce(names(300))
        async with topics.service(handler, delivery="exactly_once") as (_, watch):  # type: ignore[arg-type]
            await watch.until(lambda: watch.low == topics.ends)
            await topics.produce(names(100, "late-"))
            await watch.until(lambda: watch.handled_count == 400)
        assert sorted(await topics.verdicts(400)) == sorted(names(300) + names(100, "late-"))
        expected = {partition: Stored(end, frozenset()) for partition, end in topics.ends.items()}
        assert await topics.stored("classify") == expected


@pytest.mark.kafka
async def test_workers_that_join_and_leave_repeat_nothing(kafka_broker: LocalKafka) -> None:
    async with topics_on(kafka_broker) as topics:
        await topics.produce(names(1500))
        async with topics.service(answer, delivery="exactly_once", in_flight=8) as (_, second):
            async with topics.service(answer, delivery="exactly_once", in_flight=8) as (_, first):
                await first.until(lambda: first.rebalances[-1:] == [2])
                await second.until(lambda: second.handled_count > 200)
            await second.until(lambda: second.rebalances[-1:] == [4])
            await second.until(lambda: second.low == topics.ends)
        assert sorted(await topics.verdicts(1500)) == sorted(names(1500))


def start(topics: Topics, file: Path, slow: str, seconds: float, others: float) -> ChildProcess:
    arguments = [topics.broker.bootstrap, topics.prefix, slow, str(seconds), str(file), "exactly_once", str(others)]
    return ChildProcess([sys.executable, "-m", "tests.chaos.slow_worker", *arguments])


@pytest.mark.kafka
async def test_a_worker_that_is_killed_shows_nothing_twice(kafka_broker: LocalKafka, tmp_path: Path) -> None:
    handled = tmp_path / "handled"
    async with topics_on(kafka_broker, partitions=2) as topics:
        await topics.produce(names(600))
        first = start(topics, handled, slow="none", seconds=0, others=0.05)
        async with asyncio.timeout(PATIENCE_S):
            while not handled.exists() or len(handled.read_text().split()) < 200:
                await asyncio.sleep(0.05)  # another process tells of its work in a file
        await first.kill()
        async with topics.service(answer, delivery="exactly_once", in_flight=32) as (_, second):
            await second.until(lambda: second.low == topics.ends)
        assert sorted(await topics.verdicts(600)) == sorted(names(600))


@pytest.mark.kafka
async def test_a_worker_that_wakes_up_late_shows_nothing_twice(kafka_broker: LocalKafka, tmp_path: Path) -> None:
    """It has an output in its hands, and an open transaction with nothing in it that could have timed out meanwhile."""
    async with topics_on(kafka_broker, partitions=1) as topics:
        await topics.produce(names(20))
        first = start(topics, tmp_path / "handled", slow="7", seconds=4, others=0)
        try:
            assert "7" not in await topics.verdicts(19)
            first.pause()
            async with topics.service(answer, delivery="exactly_once") as (_, second):
                await second.until(lambda: second.low == topics.ends)
                before = len(second.rebalances)
                first.resume()
                await second.until(lambda: len(second.rebalances) > before)  # it has found out, and joined again
                await topics.produce(names(50, "late-"))
                assert sorted(await topics.verdicts(70)) == sorted(names(20) + names(50, "late-"))
        finally:
            await first.stop(10.0)

"""Stage services on the embedded broker and on Apache Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from schemas import Message, Ticket
from streams.delivery import faust_consumer
from streams.delivery.faust_consumer import LoopConsumer
from streams.delivery.stage import Limits
from streams.errors import StopWorker
from streams.kafka import producers
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from tests.support.brokers import require_kafka
from tests.support.stages import PATIENCE_S, Stored, Topics, topics_on, verdict


async def answer(ticket: Ticket) -> Sequence[Message]:
    await asyncio.sleep(0)
    return [verdict(ticket)]


def compute(ticket: Ticket) -> Sequence[Message]:
    return [verdict(ticket)]


def names(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def everything(topics: Topics) -> dict[int, Stored]:
    """What is committed once all is finished."""
    return {partition: Stored(end, frozenset()) for partition, end in topics.ends.items()}


@pytest.mark.parametrize("handler", [answer, compute])
async def test_every_ticket_comes_out_once_and_everything_is_committed(broker: Broker, handler: object) -> None:
    async with topics_on(broker) as topics:
        await topics.produce(names(300))
        async with topics.service(handler) as (_, watch):  # type: ignore[arg-type]
            await watch.until(lambda: watch.handled_count == 300)
            await topics.produce(names(200, "late-"))
            await watch.until(lambda: watch.handled_count == 500)
        assert sorted(await topics.verdicts(500)) == sorted(names(300) + names(200, "late-"))
        assert await topics.stored("classify") == everything(topics)


async def test_one_slow_ticket_holds_low_and_nothing_else(broker: Broker) -> None:
    release = asyncio.Event()

    async def one_slow(ticket: Ticket) -> Sequence[Message]:
        if ticket.ticket_id == "7":
            await release.wait()
        return [verdict(ticket)]

    async with topics_on(broker, partitions=2) as topics:
        await topics.produce(names(300))
        partition, slow = topics.places["7"]
        async with topics.service(one_slow, in_flight=32) as (_, watch):
            await watch.until(lambda: watch.handled_count == 299 and watch.in_progress == 1)
            other = 1 - partition
            await watch.until(lambda: watch.low == {partition: slow, other: topics.ends[other]})
            if broker.kind == "kafka":
                ahead = frozenset(range(slow + 1, topics.ends[partition]))
                async with asyncio.timeout(PATIENCE_S):
                    while await topics.stored("classify") != {
                        partition: Stored(slow, ahead),
                        other: Stored(topics.ends[other], frozenset()),
                    }:
                        await asyncio.sleep(0.05)  # the broker tells nobody when a commit has arrived
            assert "7" not in await topics.verdicts(299)
            release.set()
            await watch.until(lambda: watch.handled_count == 300)
        assert sorted(await topics.verdicts(300)) == sorted(names(300))
        assert await topics.stored("classify") == everything(topics)


async def test_workers_that_join_and_leave_lose_nothing(broker: Broker) -> None:
    calls: Counter[str] = Counter()

    async def slowly(ticket: Ticket) -> Sequence[Message]:
        calls[ticket.ticket_id] += 1
        await asyncio.sleep(0.02)
        return [verdict(ticket)]

    async with topics_on(broker) as topics:
        total = 3000
        await topics.produce(names(total))
        async with topics.service(slowly, in_flight=16) as (_, second):
            async with topics.service(slowly, in_flight=16) as (_, first):
                await first.until(lambda: first.rebalances[-1:] == [2] or first.handled_count > total)
                await second.until(lambda: second.handled_count > 200)
            await second.until(lambda: second.rebalances[-1:] == [4])
            await topics.produce(names(100, "late-"))
            total += 100
            await second.until(lambda: first.handled_count + second.handled_count >= total)
            await second.until(lambda: second.low == topics.ends)
        outcome = await topics.verdicts(total)
        assert set(outcome) == set(names(3000) + names(100, "late-"))
        repeated = sum(calls.values()) - len(calls)
        assert len(outcome) - total <= repeated
        # Everything finishes within the wait of a revocation here, and so before the last commit.
        assert repeated == 0
        assert await topics.stored("classify") == everything(topics)


async def test_bytes_that_are_no_ticket_become_dead_letters(broker: Broker) -> None:
    bad = {
        "not json": b"\x00\xffnonsense",
        "wrong schema": b'{"ticket_id": 7}',
        "empty text": b'{"ticket_id": "7", "text": " "}',
        "surrogate": b'{"ticket_id": "7", "text": "\\ud800"}',
        "newer": b'{"v": 9, "ticket_id": "7", "text": "a"}',
        "large": b"x" * 1_000_000,
    }
    async with topics_on(broker) as topics:
        await topics.produce(names(20))
        await topics.produce_raw(bad)
        await topics.produce(names(20, "late-"))
        async with topics.service(answer) as (_, watch):
            await watch.until(lambda: watch.handled_count == 46)
        letters = {(letter.key or b"").decode(): letter for letter in await topics.letters(len(bad))}
        assert {name: letter.original for name, letter in letters.items()} == bad
        assert {name: letter.reason for name, letter in letters.items()} == {
            "not json": "not_json",
            "wrong schema": "wrong_schema",
            "empty text": "wrong_schema",
            "surrogate": "not_json",
            "newer": "unknown_schema_version",
            "large": "not_json",
        }
        for name, letter in letters.items():
            partition, offset = topics.places[name]
            assert letter.origin == f"{topics.prefix}tickets/{partition}/{offset}"
        assert len(await topics.verdicts(40)) == 40
        assert await topics.stored("classify") == everything(topics)


@pytest.mark.kafka
async def test_a_letter_that_the_broker_refuses_is_cut_and_holds_nothing_up(kafka_broker: LocalKafka) -> None:
    """A refused batch leaves a gap in an idempotent producer's numbering: everything after it would be refused as well."""
    async with topics_on(kafka_broker, partitions=1, configs={"dead-letters": {}}) as topics:
        await topics.produce_raw({"before": b"?", "large": b"x" * 1_000_000, "after": b"?"})
        async with topics.service(answer, in_flight=1) as (_, watch):
            await watch.until(lambda: watch.handled_count == 3)
            await topics.produce_raw({"later": b"?"})
            await watch.until(lambda: watch.handled_count == 4)
        sizes = {letter.key: (len(letter.original), letter.original_size) for letter in await topics.letters(4)}
        assert sizes == {b"before": (1, 1), b"large": (256 * 1024, 1_000_000), b"after": (1, 1), b"later": (1, 1)}


async def test_a_worker_that_must_stop_says_so_and_leaves_its_ticket_to_the_next(broker: Broker) -> None:
    stops: list[StopWorker] = []
    stopped = asyncio.Event()

    async def refuse(ticket: Ticket) -> Sequence[Message]:
        if ticket.ticket_id == "3":
            raise StopWorker("the policy is for another model")
        return [verdict(ticket)]

    def failed(error: StopWorker) -> None:
        stops.append(error)
        stopped.set()

    async with topics_on(broker, partitions=1) as topics:
        await topics.produce(names(10))
        async with topics.service(refuse, failed=failed, in_flight=2) as (service, _):
            async with asyncio.timeout(PATIENCE_S):
                await stopped.wait()
        assert [str(stop) for stop in stops] == ["the policy is for another model"]
        assert service.error is stops[0]
        assert (await topics.stored("classify")).get(0, Stored(0, frozenset())).offset <= 3
        async with topics.service(answer) as (_, watch):
            await watch.until(lambda: watch.low == topics.ends)
        outcome = await topics.verdicts(10)
        assert set(outcome) == set(names(10))
        if broker.kind == "kafka":
            assert len(outcome) == 10


async def test_an_agent_at_its_limit_does_not_hold_another_up(broker: Broker) -> None:
    release = asyncio.Event()

    async def blocked(ticket: Ticket) -> Sequence[Message]:
        await release.wait()
        return []

    async with topics_on(broker) as topics:
        await topics.produce(names(500))
        async with topics.service(blocked, agent="blocked", in_flight=4) as (_, first):
            async with topics.service(answer, agent="free", in_flight=4) as (_, second):
                await second.until(lambda: second.low == topics.ends)
                assert first.in_progress == 4
                assert first.handled_count == 0
            release.set()
            await first.until(lambda: first.handled_count == 500)
        assert sorted(await topics.verdicts(500)) == sorted(names(500))
        assert await topics.stored("blocked") == everything(topics)
        assert await topics.stored("free") == everything(topics)


async def test_a_worker_without_partitions_stops_at_once(broker: Broker) -> None:
    """Though it still holds a ticket of the partition that it lost."""
    release = asyncio.Event()

    async def blocked(ticket: Ticket) -> Sequence[Message]:
        await release.wait()
        return [verdict(ticket)]

    async with topics_on(broker, partitions=1) as topics:
        await topics.produce(names(1))
        limits = Limits(revoke_wait_s=0.1)
        async with (
            topics.service(blocked, limits=limits) as (one, first),
            topics.service(blocked, limits=limits) as (two, second),
        ):
            await second.until(lambda: bool(second.rebalances))
            loser = one if second.rebalances == [1] else two
            async with asyncio.timeout(PATIENCE_S):
                await loser.stop(wait_s=1000)
            release.set()
            await (second if loser is one else first).until(lambda: first.handled_count + second.handled_count == 1)
        assert set(await topics.verdicts(1)) == {"0"}


@pytest.fixture
async def own_kafka() -> AsyncIterator[LocalKafka]:
    """One Apache Kafka of a single node that the test may kill."""
    require_kafka()
    async with LocalKafka() as kafka:
        yield kafka


@pytest.mark.kafka
async def test_a_broker_that_dies_under_load_and_comes_back_loses_nothing(own_kafka: LocalKafka) -> None:
    calls: Counter[str] = Counter()

    async def slowly(ticket: Ticket) -> Sequence[Message]:
        calls[ticket.ticket_id] += 1
        await asyncio.sleep(0.02)
        return [verdict(ticket)]

    async with topics_on(own_kafka) as topics:
        await topics.produce(names(2000))
        async with topics.service(slowly, in_flight=16) as (_, watch):
            await watch.until(lambda: watch.handled_count > 300)
            await own_kafka.kill(0)
            await watch.until(lambda: watch.in_progress == 0)  # all that is left waits for the broker
            await own_kafka.restart(0)
            await own_kafka.wait_ready()
            await watch.until(lambda: watch.low == topics.ends)
        outcome = await topics.verdicts(2000)
        assert set(outcome) == set(names(2000))
        assert set(calls) == set(names(2000))
        assert await topics.stored("classify") == everything(topics)


@pytest.mark.kafka
async def test_a_worker_stops_though_its_broker_is_gone(own_kafka: LocalKafka) -> None:
    """With outputs in its hands that it cannot deliver: their inputs are unfinished and wait for the next worker."""
    release = asyncio.Event()

    async def held(ticket: Ticket) -> Sequence[Message]:
        await release.wait()
        return [verdict(ticket)]

    async with topics_on(own_kafka) as topics:
        await topics.produce(names(20))
        async with topics.service(held, limits=Limits(gate_wait_s=0.5, commit_wait_s=0.5)) as (service, watch):
            await watch.until(lambda: watch.in_progress == 20)
            await own_kafka.kill(0)
            release.set()
            async with asyncio.timeout(PATIENCE_S):
                await service.stop(wait_s=0.5)
            assert watch.handled_count == 0
        await own_kafka.restart(0)
        await own_kafka.wait_ready()
        async with topics.service(answer) as (_, watch):
            await watch.until(lambda: watch.low == topics.ends)
        assert set(await topics.verdicts(20)) == set(names(20))


async def test_a_worker_that_cannot_restore_its_ledgers_ends(
    embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than stand still for good, which is what faust would do after a timeout of its own."""

    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(LoopConsumer, "committed", silent)
    stops: list[StopWorker] = []
    stopped = asyncio.Event()

    def failed(error: StopWorker) -> None:
        stops.append(error)
        stopped.set()

    limits = Limits(restore_wait_s=0.1)
    async with topics_on(embedded_broker, partitions=1) as topics, topics.service(answer, failed=failed, limits=limits):
        async with asyncio.timeout(PATIENCE_S):
            await stopped.wait()
    assert "lost its broker session" in str(stops[0])


async def test_stopping_ends_inside_its_bound_though_the_broker_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits that are given, and so much each for the group and for the producer."""
    monkeypatch.setattr(faust_consumer, "_STOP_S", 0.1)
    monkeypatch.setattr(producers, "_PRODUCER_STOP_S", 0.1)
    release = asyncio.Event()

    async def held(ticket: Ticket) -> Sequence[Message]:
        await release.wait()
        return [verdict(ticket)]

    limits = Limits(revoke_wait_s=0.1, gate_wait_s=0.1, commit_wait_s=0.1)
    async with EmbeddedBroker() as broker, topics_on(broker, partitions=1) as topics:
        await topics.produce(names(20))
        async with topics.service(held, limits=limits) as (service, watch):
            await watch.until(lambda: watch.in_progress == 20)
            for pid in broker.pids:
                os.kill(pid, signal.SIGKILL)
            release.set()
            async with asyncio.timeout(8):
                await service.stop(wait_s=0.1)
            assert watch.handled_count == 0

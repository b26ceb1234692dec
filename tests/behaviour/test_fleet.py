"""Workers that share a budget over a broker: together they use all of it and no more, whoever stops or dies."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams.agents.purse import Purse
from streams.core.fleet import Caps, Fleet, Member
from streams.demo.run import local_connection
from streams.errors import StopWorker
from streams.fleet.link import FleetLink
from streams.kafka.connection import Connection
from streams.kafka.readers import decode, reader, to_the_end
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.broker import Broker
from tests.support.watchers import until

MOST = 600


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _fail(error: Exception) -> None:
    raise AssertionError(error)


@dataclass
class Spender:
    """One worker's purse over a link of its own."""

    member: Member
    purse: Purse
    used: int = 0

    async def spend(self, times: int, amount: int) -> None:
        for _ in range(times):
            if not await self.purse.ensure(amount):
                return
            if self.purse.take(amount) is not None:
                self.used += amount
            await asyncio.sleep(0)


@asynccontextmanager
async def spender(name: str, connection: Connection, prefix: str) -> AsyncIterator[Spender]:
    member = Member(name, "g", {"money": Caps(hour=MOST)})
    link = FleetLink(member, connection, prefix, wall_ms)
    async with link.running(required=True, failed=_fail):
        yield Spender(member, Purse("money", member, wall_ms, link.announce))


async def test_four_workers_use_what_there_is_and_no_more_though_they_are_started_again(broker: Broker) -> None:
    connection, prefix = local_connection(broker), f"{secrets.token_hex(4)}-"
    await create_topics(connection, prefix=prefix, partitions=3, replication=1)
    used = 0
    for start in range(2):
        async with AsyncExitStack() as stack:
            workers = [
                await stack.enter_async_context(spender(f"w{start}{number}", connection, prefix)) for number in range(4)
            ]
            # The first ones leave off in the middle; those that come after them know what they used.
            await asyncio.gather(*(worker.spend(9 if start == 0 else MOST, 3) for worker in workers))
            used += sum(worker.used for worker in workers)
            assert used <= MOST
            if start == 0:
                assert used == 4 * 9 * 3
    assert used >= MOST - 4 * 3
    async with spender("late", connection, prefix) as late:
        assert late.member.fleet.used("money", "hour", wall_ms()) == used
        await late.spend(MOST, 3)
        assert used + late.used <= MOST


async def test_a_worker_that_died_keeps_its_lease_and_one_that_stopped_gives_it_back(broker: Broker) -> None:
    connection, prefix = local_connection(broker), f"{secrets.token_hex(4)}-"
    await create_topics(connection, prefix=prefix, partitions=1, replication=1)
    async with spender("one", connection, prefix) as one, spender("other", connection, prefix) as other:
        await one.spend(1, 5)
        leased = one.member.accounts["money"].leased
        assert leased > 0
        await until(lambda: other.member.fleet.used("money", "hour", wall_ms()) == 5 + leased)
    fleet = Fleet("g")
    async with reader(["fleet"], connection, prefix=prefix) as consumer:
        fleet.merge([decode(record, prefix) async for record in to_the_end(consumer)])  # type: ignore[misc]
    assert {state.worker: state.stopped for state in fleet} == {"one": True, "other": True}
    assert fleet.used("money", "hour", wall_ms()) == 5
    assert fleet.live(wall_ms()) == []


async def test_a_worker_that_can_no_longer_read_what_the_others_say_stops(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, prefix = local_connection(broker), f"{secrets.token_hex(4)}-"
    await create_topics(connection, prefix=prefix, partitions=1, replication=1)
    stopped: asyncio.Future[StopWorker] = asyncio.get_running_loop().create_future()
    link = FleetLink(Member("w", "g", {"money": Caps(hour=MOST)}), connection, prefix, wall_ms)
    async with link.running(required=True, failed=stopped.set_result):

        async def broken(*_: object, **__: object) -> None:
            raise KafkaError("Unexpected error during data retrieval")

        monkeypatch.setattr(AIOKafkaConsumer, "getmany", broken)
        assert "the fleet topic can no longer be read" in str(await asyncio.wait_for(stopped, 10.0))

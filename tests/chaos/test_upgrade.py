"""Workers of the released version before and of this one, on the same topics while tickets flow: forth, back and forth again."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaConsumer

from schemas import DeadLetter, Review, Routed
from streams.agents.registry import AGENTS, KEEPERS
from streams.aio import Changes
from streams.core.policy.policy import Policy
from streams.delivery.stage import Delivery
from streams.demo.run import demo_settings, local_connection
from streams.kafka.produce import produce
from streams.kafka.readers import decode, reader
from streams.kafka.topics import create_topics
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess
from streams.sandbox.tickets import DEMO, TRAIN
from streams.settings import Settings
from tests.support.brokers import run_apart
from tests.support.releases import released_into

#: What a worker is: of the release before, of this one, or of this one and writing messages of version 2.
Kind = Literal["old", "new", "new writes 2"]
#: Who runs. Each step replaces workers, by a kill and by a stop in good order in turn.
STEPS: tuple[tuple[Kind, Kind], ...] = (
    ("old", "old"),
    ("new", "old"),
    ("new", "new"),
    ("new", "old"),
    ("old", "old"),
    ("new", "new"),
    ("new writes 2", "new"),
    ("new writes 2", "new writes 2"),
)
BATCH = 30
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    released_into(folder)
    return folder


@pytest.fixture(scope="module")
def slow_models() -> Iterator[ModelServer]:
    """So slow that tickets are in flight whenever a worker goes."""
    server = ModelServer(TRAIN, latency_ms=150.0)
    run_apart(server.start())
    yield server
    run_apart(server.stop())


@dataclass
class Ends:
    """What the topics say of how tickets ended."""

    prefix: str
    results: dict[str, list[Routed | Review]] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    unreadable: int = 0
    versions: Counter[int] = field(default_factory=Counter)
    """How many results were written in each version of the messages."""
    changes: Changes = field(default_factory=Changes)

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            message = decode(record, self.prefix)
            if isinstance(message, Routed | Review):
                self.results.setdefault(message.ticket_id, []).append(message)
                self.versions[json.loads(record.value)["v"]] += 1
            elif isinstance(message, DeadLetter):
                self.letters.append(message)
            else:
                self.unreadable += 1
            self.changes.note()

    async def wait_for(self, tickets: Sequence[str], count: int) -> None:
        """Wait until so many of these tickets have ended."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(ticket in self.results for ticket in tickets) < count and not self.letters:
                await self.changes.next()


@asynccontextmanager
async def ends_of(settings: Settings) -> AsyncIterator[Ends]:
    ends = Ends(settings.topics.prefix)
    topics = ("routed", "reviews", "dead-letters")
    async with reader(topics, settings.broker.connection, prefix=ends.prefix) as consumer:
        following = asyncio.create_task(ends.follow(consumer))
        try:
            yield ends
        finally:
            following.cancel()
            await asyncio.wait({following})


class Fleet:
    """Two places for worker processes of either release."""

    def __init__(self, settings: Settings, released: Path, folder: Path) -> None:
        self._settings = settings
        self._released = released
        self._folder = folder
        self._started = itertools.count()
        self.kinds: list[Kind | None] = [None, None]
        self.workers: list[ChildProcess | None] = [None, None]

    async def become(self, kinds: tuple[Kind, Kind], *, kill: bool) -> None:
        """Replace what is of another kind; return once the new ones are ready."""
        changed = [place for place, kind in enumerate(kinds) if kind != self.kinds[place]]
        await asyncio.gather(*(self._replace(place, kinds[place], kill=kill) for place in changed))

    async def _replace(self, place: int, kind: Kind, *, kill: bool) -> None:
        await self._end(place, kill=kill)
        self.kinds[place] = kind
        self.workers[place] = await self._start(kind)

    async def stop(self) -> None:
        for place in range(len(self.workers)):
            await self._end(place, kill=False)

    def said(self) -> str:
        """Return the last words of all that run."""
        return "\n".join(worker.tail(30) for worker in self.workers if worker is not None)

    async def _end(self, place: int, *, kill: bool) -> None:
        worker = self.workers[place]
        if worker is not None:
            await (worker.kill() if kill else worker.stop(15.0))

    async def _start(self, kind: Kind) -> ChildProcess:
        number = next(self._started)
        with ReservedPort() as port:
            values = self._values(kind) | {"metrics": {"port": port.number}}
            config = self._folder / f"worker-{number}.yaml"
            config.write_text(yaml.safe_dump(values), encoding="utf-8")
            agents = AGENTS if kind == "old" else AGENTS + KEEPERS
            root = self._released if kind == "old" else Path(__file__).parents[2]
            worker = ChildProcess(
                [sys.executable, "-m", "streams.cli", "worker", "--config", str(config), "--agents", ",".join(agents)],
                output=self._folder / f"worker-{number}.log",
                env=os.environ | {"PYTHONPATH": str(root)},
                cwd=root,
            )
            await _ready(worker, port.number)
        return worker

    def _values(self, kind: Kind) -> dict[str, Any]:
        values = self._settings.model_dump(mode="json")
        if kind != "old":
            return values | {"messages": {"write": 2 if kind == "new writes 2" else 1}}
        tiers = {tier: {name: each[name] for name in ("base_url", "model")} for tier, each in values["tiers"].items()}
        kept = {name: values[name] for name in ("broker", "labels", "label_aliases", "delivery")}
        return kept | {
            "topics": {"prefix": values["topics"]["prefix"]},
            "tiers": tiers,
            "review": {"url": self._settings.review.url},
        }


async def _ready(worker: ChildProcess, port: int) -> None:
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
        while True:
            assert worker.alive, worker.tail(30)
            try:
                if (await http.get(f"http://127.0.0.1:{port}/ready")).is_success:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("broker_name", "delivery"),
    [
        ("embedded", "at_least_once"),
        pytest.param("kafka", "at_least_once", marks=pytest.mark.kafka),
        pytest.param("kafka", "exactly_once", marks=pytest.mark.kafka),
    ],
)
async def test_a_fleet_goes_forth_back_and_forth_and_loses_nothing(
    request: pytest.FixtureRequest,
    released: Path,
    slow_models: ModelServer,
    tmp_path: Path,
    broker_name: str,
    delivery: Delivery,
) -> None:
    broker: Broker = request.getfixturevalue(f"{broker_name}_broker")
    prefix = f"upgrade-{secrets.token_hex(4)}."
    connection = local_connection(broker)
    settings = demo_settings(connection, slow_models.url, slow_models.labels, Policy(), tmp_path, prefix)
    settings = settings.model_copy(update={"delivery": delivery, "contracts": None})
    await create_topics(connection, prefix=prefix, partitions=4, replication=1)
    texts = itertools.cycle(json.loads(line)["text"] for line in DEMO.read_text(encoding="utf-8").splitlines())
    sent: list[str] = []

    async def send() -> list[str]:
        rows = {f"t-{len(sent) + number}": next(texts) for number in range(BATCH)}
        sent.extend(rows)
        lines = [json.dumps({"ticket_id": ticket_id, "text": text}).encode() for ticket_id, text in rows.items()]
        await produce(lines, connection, prefix=prefix)
        return list(rows)

    fleet = Fleet(settings, released, tmp_path)
    async with ends_of(settings) as ends:
        try:
            for number, kinds in enumerate(STEPS):
                await fleet.become(kinds, kill=number % 2 == 1)
                await ends.wait_for(await send(), 1)
            await ends.wait_for(sent, len(sent))
            assert set(ends.versions) == {1, 2}
            await send()
            await ends.wait_for(sent, len(sent))
            await _all_stored(ends, settings)
        except TimeoutError:
            pytest.fail(f"tickets are lost, or a worker hangs:\n{fleet.said()}")
        finally:
            await fleet.stop()
    assert (ends.letters, ends.unreadable) == ([], 0)
    assert ends.results.keys() == set(sent)
    assert all(
        len({each.result_id for each in found if isinstance(each, Routed)}) <= 1 for found in ends.results.values()
    )
    assert set(_waiting(settings).values()) == {1}, "a ticket waits once"
    if delivery == "exactly_once":
        assert {ticket: len(found) for ticket, found in ends.results.items() if len(found) > 1} == {}


def _waiting(settings: Settings) -> Counter[str]:
    with closing(ReviewStore(settings.review.url)) as store:
        return Counter(item.review.ticket_id for item in store.waiting(10_000))


async def _all_stored(ends: Ends, settings: Settings) -> None:
    """Wait until every ticket that has no result waits in the store."""
    routed = {ticket for ticket, found in ends.results.items() if any(isinstance(each, Routed) for each in found)}
    async with asyncio.timeout(PATIENCE_S):
        while not ends.results.keys() - routed <= (await asyncio.to_thread(_waiting, settings)).keys():
            await asyncio.sleep(0.1)

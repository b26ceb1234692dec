"""A faust consumer of our transport whose thread, and the broker behind it, are a fake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
from faust.types import TP

from streams.delivery.commit import Committing
from streams.delivery.faust_transport import Consumer, LedgerTransport
from streams.delivery.ledger import Commit
from streams.delivery.stage import Limits
from streams.delivery.transactions import Member
from tests.support.records import TICKETS, Bench, FakeRecord, records

TP0 = TP(TICKETS, 0)


class FakeThread:
    """Stands for the thread that owns the aiokafka consumer, and for the broker behind it."""

    def __init__(self) -> None:
        self.assigned = {TP0}
        self.log: dict[TP, list[FakeRecord]] = {TP0: records(range(10))}
        self.position: dict[TP, int] = {TP0: 0}
        self.stored: dict[TP, Commit] = {}
        self.commits: list[dict[TP, Commit]] = []
        self.rewinds: list[dict[TP, int | None]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()
        self.commit_succeeds = True
        self.member_now = Member("rig", 1, "me")

    def member(self) -> Member:
        return self.member_now

    def assignment(self) -> set[TP]:
        return self.assigned

    def highwater(self, tp: TP) -> int:
        return len(self.log[tp])

    def read_to(self, tp: TP) -> int:
        return self.position[tp]

    async def getmany(self, active: Iterable[TP], timeout: float) -> Mapping[TP, Sequence[FakeRecord]]:
        self.asked.set()
        await self.answers.wait()
        fetched = {tp: [r for r in self.log[tp] if r.offset >= self.position[tp]][:5] for tp in active}
        for tp, batch in fetched.items():
            if batch:
                self.position[tp] = batch[-1].offset + 1
        return {tp: batch for tp, batch in fetched.items() if batch}

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, Commit]:
        self.asked.set()
        await self.answers.wait()
        return {tp: self.stored[tp] for tp in partitions if tp in self.stored}

    async def rewind(self, positions: Mapping[TP, int | None]) -> None:
        self.rewinds.append(dict(positions))
        self.position.update({tp: offset or 0 for tp, offset in positions.items()})

    async def commit_ledgers(self, commits: Mapping[TP, Commit], wait_s: float) -> bool:
        self.commits.append(dict(commits))
        self.asked.set()
        await self.answers.wait()
        if self.commit_succeeds:
            self.stored.update(commits)
        return self.commit_succeeds


class Rig:
    """A faust consumer of our transport, not started, beside the bench of the runner's tests."""

    def __init__(
        self,
        tmp_path: Path,
        bench: Bench,
        limits: Limits | None = None,
        committing: Committing | None = None,
        thread: FakeThread | None = None,
    ) -> None:
        self.bench = bench
        self.app: Any = faust.App(
            "rig", broker="kafka://127.0.0.1:1", store="memory://", datadir=str(tmp_path), autodiscover=False
        )
        self.app.transport = LedgerTransport(
            self.app.conf.broker,
            self.app,
            runner=bench.runner,
            committing=committing,
            limits=limits,
            observer=bench.tally,
        )
        self.app.finalize()
        self.consumer: Consumer = self.app.consumer
        self.thread = thread or FakeThread()
        self.consumer._thread = self.thread  # type: ignore[assignment]
        self.consumer._set_active_tps({TP0})
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.app.topics._topic_name_index[TICKETS] = [SimpleNamespace(queue=self.queue)]
        self.app.consumer_generation_id = 1
        self.app.flow_control.resume()
        self.consumer.resume_flow()

    async def drain(self, fetcher: Any = None) -> None:
        """Fetch until this fetcher of faust's should stop, or for ever."""
        await self.consumer._drain_messages(fetcher or SimpleNamespace(should_stop=False))

    async def assign(self, assigned: set[TP], generation: int) -> None:
        """What aiokafka calls when a rebalance ended here; what faust does then needs a running app, and is left out."""

        async def nothing(*_: Any) -> None:
            return

        self.consumer._on_partitions_assigned = nothing
        self.app.on_rebalance_return = lambda: None
        await self.consumer.on_partitions_assigned(assigned, generation)

    def handed_over(self) -> list[int]:
        offsets = []
        while not self.queue.empty():
            offsets.extend(record.offset for record in self.queue.get_nowait().value)
        return offsets

    async def fetch_and_run(self) -> None:
        await self.consumer.fetch_once()
        while not self.queue.empty():
            await self.bench.runner.run(self.queue.get_nowait().value)

"""What is broken: a Kafka cluster, a model server, and worker processes that a supervisor starts again."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from benchmarks.chaos.plan import Step
from benchmarks.killable_postgres import KillablePostgres
from streams.agents.registry import AGENTS
from streams.aio import Changes
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess
from streams.settings import Settings

_REBALANCES = re.compile(r"^hedgerow_rebalances_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)
_EXAMPLES = re.compile(r"^hedgerow_memory_examples\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)
_RESTART_S = 0.5
_TOLD_WITHIN_MS = 5_000


@dataclass
class WorkerSlot:
    """One place for a worker process, with its own metrics port; ``rebalances`` of each life that was seen.

    ``examples`` is how many labelled tickets the worker had in its memory when it was last looked at.
    """

    number: int
    settings: Settings
    folder: Path
    port: ReservedPort = field(default_factory=ReservedPort)
    process: ChildProcess | None = None
    lives: int = 0
    rebalances: dict[int, float] = field(default_factory=dict)
    examples: float = 0.0

    def start(self) -> None:
        """Start a process, and count the life."""
        metrics = self.settings.metrics.model_copy(update={"port": self.port.number})
        config = self.folder / f"worker-{self.number}.yaml"
        config.write_text(yaml.safe_dump(self.settings.model_copy(update={"metrics": metrics}).model_dump(mode="json")))
        command = [sys.executable, "-m", "streams.cli", "worker", "--config", str(config), "--agents", ",".join(AGENTS)]
        self.process = ChildProcess(command, output=self.folder / f"worker-{self.number}.log")
        self.lives += 1

    async def look(self, http: httpx.AsyncClient) -> None:
        """Read how many rebalances this life has seen, and its memory's size; a worker that does not answer is passed over."""
        try:
            page = await http.get(f"http://127.0.0.1:{self.port.number}/metrics")
        except httpx.HTTPError:
            return
        self.rebalances[self.lives] = sum(float(value) for value in _REBALANCES.findall(page.text))
        self.examples = sum(float(value) for value in _EXAMPLES.findall(page.text))


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass
class Outage:
    """From when until when the model server was unavailable, Unix time in milliseconds; no end: it still is."""

    from_ms: int
    until_ms: int | None = None

    def covers(self, at_ms: int) -> bool:
        """Return whether it was unavailable then, or had been just before: a call that failed may be told of a little later."""
        return self.from_ms <= at_ms and (self.until_ms is None or at_ms <= self.until_ms + _TOLD_WITHIN_MS)


@dataclass
class Stand:
    """Everything that runs, and the counts of what was done to it."""

    broker: Broker
    models: ModelServer
    slots: list[WorkerSlot]
    settings: Settings
    folder: Path
    store: KillablePostgres | None = None
    kills: dict[str, int] = field(default_factory=lambda: {"worker": 0, "broker": 0, "store": 0})
    outages: list[Outage] = field(default_factory=list)
    removed: list[WorkerSlot] = field(default_factory=list)
    _busy: set[int] = field(default_factory=set)
    _busy_nodes: set[int] = field(default_factory=set)
    _later: set[asyncio.Task[None]] = field(default_factory=set)
    _changes: Changes = field(default_factory=Changes)

    @property
    def starts(self) -> int:
        """How often a worker was started."""
        return sum(slot.lives for slot in (*self.slots, *self.removed))

    async def tend(self) -> None:
        """Start workers again that have ended, and look at what they count, until this is cancelled."""
        async with httpx.AsyncClient(timeout=2.0) as http:
            while True:
                self._supervise()
                await asyncio.gather(*(slot.look(http) for slot in self.slots), asyncio.sleep(_RESTART_S))

    def _supervise(self) -> None:
        for slot in self.slots:
            if slot.number not in self._busy and slot.process is not None and not slot.process.alive:
                slot.start()
                self._changes.note()

    async def do(self, step: Step) -> None:
        """Do one step; what it undoes later is awaited by ``settle``."""
        if step.act in {"kill_broker", "freeze_broker"}:
            await self._break_broker(step)
        elif step.act == "kill_store":
            if self.store is not None:
                self.kills["store"] += 1
                await asyncio.to_thread(self.store.kill_and_start)
        elif step.act == "cut_models":
            await self.models.stop()
            self._after(step.seconds, self._bring_models_back)
        elif step.act == "add_worker":
            slot = WorkerSlot(len(self.slots), self.settings, self.folder)
            self.slots.append(slot)
            slot.start()
        else:
            await self._break_worker(step)

    async def _bring_models_back(self) -> None:
        await self.models.start()
        self.outages[-1].until_ms = now_ms()

    async def _break_broker(self, step: Step) -> None:
        if not isinstance(self.broker, LocalKafka):
            return
        broker, node = self.broker, int(step.victim * 3)
        if self._busy_nodes:
            await self.settle()  # replication 3 with two in sync stands the loss of one node at a time
        self._busy_nodes.add(node)
        if step.act == "kill_broker":
            self.kills["broker"] += 1
            await broker.kill(node)
        else:
            broker.pause(node)

        async def mend() -> None:
            if step.act == "kill_broker":
                await broker.restart(node)
            else:
                broker.resume(node)
            await broker.wait_ready()
            self._busy_nodes.discard(node)

        self._after(step.seconds, mend)

    async def _break_worker(self, step: Step) -> None:
        while not (free := self._free()):
            await self._changes.next()
        if step.act == "remove_worker" and len(free) < 2:
            return
        slot = free[int(step.victim * len(free))]
        process = slot.process
        assert process is not None
        if step.act == "freeze_worker":
            self._busy.add(slot.number)
            process.pause()

            async def thaw() -> None:
                process.resume()
                self._busy.discard(slot.number)
                self._changes.note()

            self._after(step.seconds + 5, thaw)
        elif step.act == "remove_worker":
            self.slots.remove(slot)
            self.removed.append(slot)
            await process.stop(30.0)
        else:
            self.kills["worker"] += 1
            await process.kill()

    def _free(self) -> list[WorkerSlot]:
        return [slot for slot in self.slots if slot.number not in self._busy and slot.process and slot.process.alive]

    def _after(self, seconds: float, undo: Callable[[], Awaitable[None]]) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            await undo()

        task = asyncio.create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def settle(self) -> None:
        """Wait until everything that was broken is mended; raises what went wrong in mending."""
        await asyncio.gather(*self._later)

    async def stop(self) -> None:
        """Stop every worker."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*(slot.process.stop(15.0) for slot in self.slots if slot.process is not None))

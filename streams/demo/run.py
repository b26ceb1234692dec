"""Starts what a demo needs, feeds it, watches until every ticket has its outcome, and cleans up."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import yaml
from rich.console import Console

from schemas import Routed
from streams.agents.registry import AGENTS, KEEPERS
from streams.core.policy.policy import Policy
from streams.core.signal.labels import LabelSet
from streams.core.wording import counted
from streams.demo.account import Account, Row
from streams.demo.baseline import baseline
from streams.demo.calibration import Calibrated, calibrate
from streams.demo.contracts import sandbox_contract
from streams.demo.report import report
from streams.demo.summary import calibrated
from streams.demo.view import View
from streams.errors import SandboxError, SettingsError
from streams.evaluation import Tickets, read_tickets
from streams.kafka.connection import Connection
from streams.kafka.produce import produce
from streams.kafka.readers import decode, reader
from streams.kafka.ticket_rows import Fault
from streams.kafka.ticket_tables import read_ticket_rows
from streams.kafka.topics import admin_client, create_topics
from streams.memory.labelled_file import read_examples
from streams.memory.memory import Memory
from streams.memory.open_memory import open_embedder, open_memory
from streams.models.classifier import ModelClient
from streams.reviews.store import QueueItem, ReviewStore
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.extras import missing_extra
from streams.sandbox.model_kinds import ModelKind, is_language_model
from streams.sandbox.model_server.faults import Faults
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.model_server.served import ALIASES, BIG, CHEAP
from streams.sandbox.model_server.training import read_training_set
from streams.sandbox.process import ChildProcess
from streams.sandbox.tickets import CALIBRATION, DEMO, TRAIN
from streams.settings import MemorySettings, Settings, check_settings
from streams.worker.start_checks import check_policy

#: Without a new outcome for this long, what is missing counts as lost.
_STALL_S = 120.0
_WATCHED = ("classifications", "escalations", "routed", "reviews", "dead-letters", "alerts")
_PARTITIONS = 8
#: A demo lasts seconds: an endpoint that is well again is found out within it.
_TRIAL_EVERY_S = 2.0
#: How to ask the language model, which serves one request at a time, tens of milliseconds each, and reads its examples
#: at the first.
_ONE_AFTER_THE_OTHER = {"timeout_s": 60.0, "deadline_s": 100.0, "concurrency": 8}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a user may choose; the bundled tickets if no file is named."""

    tickets: Path = DEMO
    train: Path = TRAIN
    calibration: Path | None = CALIBRATION
    """Labelled tickets that the policy is calibrated on; None: the run is under ``policy``."""
    limit: int | None = None
    policy: Policy = field(default_factory=Policy)
    workers: int = 1
    broker: str = "embedded"
    faults: tuple[str, ...] = ()
    then_faults: tuple[str, ...] = ()
    """The faults from the moment on at which the first half of the rows has its outcomes; none: as at the start."""
    models: ModelKind = "trained"
    memory: Path | None = None
    """Labelled tickets that the models are shown examples from; None: those of ``train``, unless the extra is missing, or
    the policy was fitted without a memory."""
    no_memory: bool = False
    """Whether they are shown none."""
    seed: int = 0
    desk: str | None = None
    """Who may decide what waits on web pages, from the first review until the process is told to stop; None: nobody."""


async def run_demo(
    options: DemoOptions, console: Console, reported: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    """Run the demo and return its report; ``reported`` is called with it while the desk, if there is one, goes on.

    Raises SettingsError for files that cannot be used and SandboxError if a part cannot be started here.
    """
    Faults.parse((*options.faults, *options.then_faults), ALIASES)
    if options.broker not in _LOCAL and ":" not in options.broker:
        raise SettingsError(f"--broker {options.broker}: embedded, kafka or HOST:PORT is expected")
    lines = read_lines(options.tickets, options.limit)
    rows = [Row.read(number, line) for number, line in enumerate(lines)]
    known = read_tickets(read_lines(options.calibration, None)) if options.calibration else None
    taught = read_training_set(options.train)
    if options.memory is not None:
        read_examples(options.memory, set(taught.labels), ())
    account = Account(rows)
    async with AsyncExitStack() as stack:
        _say(console, "start", f"the {options.broker} broker and a model server")
        models = ModelServer(options.train, models=options.models, seed=options.seed)
        connection, _ = await asyncio.gather(
            stack.enter_async_context(_broker(options.broker)), stack.enter_async_context(models)
        )
        _say(console, "train", f"two models on {counted(len(taught.texts), 'labelled ticket')} of {options.train.name}")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hedgerow-demo-")))
        settings = demo_settings(connection, models.url, models.labels, options.policy, folder, models=options.models)
        settings, memory = await _with_memory(settings, options, stack, console)
        if known is not None:
            _say(console, "calibrate", f"both models are asked about {counted(len(known.tickets), 'labelled ticket')}")
        found = await _calibrate(known, settings, memory, folder, options.seed)
        figures = found.figures() if found else None
        _say(console, "" if found else "calibrate", *calibrated(figures))
        if found:
            settings = settings.model_copy(update={"policy": found.policy})
        await models.set_faults(options.faults)
        check_policy(settings.policy, settings)
        if options.broker in _LOCAL and settings.broker.security.protocol != "PLAINTEXT":
            raise SettingsError(f"the {options.broker} broker speaks plaintext: unset HEDGEROW_BROKER__SECURITY__...")
        connection = settings.broker.connection  # with the security that the environment asks for
        await stack.enter_async_context(_topics(connection, settings.topics.prefix, ours=options.broker in _LOCAL))
        workers = await stack.enter_async_context(_workers(settings, options.workers, folder))
        if options.desk is not None:
            await stack.enter_async_context(_desk(settings, options.desk, console))
        _say(
            console,
            "run",
            f"{counted(len(lines), 'row')} of {options.tickets.name}, worker processes: {options.workers}",
            f"policy: {settings.policy.id}",
        )
        with View(account, settings.tiers.big.price, console) as view:
            switch = partial(models.set_faults, options.then_faults) if options.then_faults else None
            seconds = await _flow(account, lines, settings, view, workers, switch)
        await models.set_faults([])
        _say(console, "compare", "each model alone is asked about every ticket")
        compared = await _compare(account, settings, memory, seconds)
        made = compared | {"policy_id": settings.policy.id, "calibration": figures}
        reported(made)
        return made


def _say(console: Console, step: str, *lines: str) -> None:
    """Print a step's name and its lines, in 80 columns."""
    for number, line in enumerate(lines):
        console.print(f"{'' if number else step:<10}  {line}", highlight=False, markup=False, soft_wrap=True)


def read_lines(path: Path, limit: int | None) -> list[bytes]:
    """Return the file's rows as JSON, ``limit`` at most: JSON Lines as they are, valid or not, or the rows of a table.

    Raises SettingsError if there is none to read, and for a table with a row that cannot be read.
    """
    lines = []
    for number, row in read_ticket_rows(path, limit):
        if isinstance(row, Fault):
            raise SettingsError(f"tickets file {path}, line {number}: {row.detail}")
        lines.append(row)
    return lines


def demo_settings(
    connection: Connection,
    url: str,
    labels: Sequence[str],
    policy: Policy,
    folder: Path,
    prefix: str | None = None,
    *,
    models: ModelKind = "trained",
) -> Settings:
    """Return the settings of a demo's workers: the sandbox endpoints, short time-outs, a separate review store."""
    tier = {"base_url": url, "timeout_s": 5.0, "deadline_s": 40.0, "attempts": 6, "concurrency": 64}
    cheap = tier | _ONE_AFTER_THE_OTHER if is_language_model(models) else tier
    values = {
        "broker": {
            "bootstrap": connection.bootstrap,
            "session_timeout_s": connection.session_timeout_s,
            "heartbeat_s": connection.heartbeat_s,
            "rebalance_timeout_s": connection.rebalance_timeout_s,
            "commit_interval_s": connection.commit_interval_s,
        },
        "topics": {
            "prefix": prefix if prefix is not None else f"demo-{secrets.token_hex(3)}.",
            "partitions": _PARTITIONS,
        },
        "labels": list(labels),
        "label_aliases": not _tell_apart(labels),
        "tiers": {"cheap": {**cheap, "model": CHEAP}, "big": {**tier, "model": BIG}},
        "policy": policy.model_dump(mode="json"),
        "contracts": {"contracts": [sandbox_contract("cheap", CHEAP), sandbox_contract("big", BIG)]},
        "contracts_at_start": "warn",  # a fault that is switched on is what the demo is to show
        "guards": {"trial_every_s": _TRIAL_EVERY_S},
        "messages": {"write": 2},
        "review": {"url": f"sqlite:///{folder / 'reviews.db'}"},
        "worker": {"in_flight": 64, "stop_wait_s": 5.0},
    }
    return check_settings(values, "demo")


def _tell_apart(labels: Sequence[str]) -> bool:
    try:
        LabelSet(labels)
    except SettingsError:
        return False
    return True


_LOCAL: dict[str, Callable[[], Broker]] = {"embedded": EmbeddedBroker, "kafka": LocalKafka}


def local_connection(broker: Broker) -> Connection:
    """Return how to reach a sandbox broker: its group protocol may be hasty, nothing but this machine is between."""
    if broker.kind == "embedded":
        # Its join waits half the session time-out.
        return Connection(broker.bootstrap, session_timeout_s=2.0, heartbeat_s=0.3, rebalance_timeout_s=2.0)
    return Connection(broker.bootstrap, session_timeout_s=6.0, heartbeat_s=0.5, rebalance_timeout_s=10.0)


@asynccontextmanager
async def _broker(name: str) -> AsyncIterator[Connection]:
    if name in _LOCAL:
        async with _LOCAL[name]() as broker:
            yield local_connection(broker)
    else:
        yield Connection(name)


@asynccontextmanager
async def _topics(connection: Connection, prefix: str, *, ours: bool) -> AsyncIterator[None]:
    """Create the demo's topics, and delete them again on a broker that is not ours to throw away."""
    created = await create_topics(connection, prefix=prefix, partitions=_PARTITIONS, replication=1)
    try:
        yield
    finally:
        if not ours:
            async with admin_client(connection) as admin:
                await admin.delete_topics(created)


@asynccontextmanager
async def _workers(settings: Settings, count: int, folder: Path) -> AsyncIterator[list[ChildProcess]]:
    """Run worker processes with these settings."""
    config = folder / "hedgerow.yaml"
    config.write_text(
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    agents = ",".join((*AGENTS, *KEEPERS))
    command = [sys.executable, "-m", "streams.cli", "worker", "--config", str(config), "--agents", agents]
    workers = [ChildProcess(command, output=folder / f"worker-{number}.log") for number in range(count)]
    try:
        yield workers
    finally:
        await asyncio.gather(*(worker.stop(15.0) for worker in workers))


async def _flow(
    account: Account,
    lines: Sequence[bytes],
    settings: Settings,
    view: View,
    workers: Sequence[ChildProcess],
    switch: Callable[[], Awaitable[None]] | None,
) -> float:
    """Produce everything and watch until it is settled or stalls; return the seconds from the first row to the last outcome.

    ``switch`` is called once the first half is settled, and before the second half is produced.
    """
    prefix, connection = settings.topics.prefix, settings.broker.connection
    began = last = time.monotonic()
    half = len(lines) if switch is None else (len(lines) + 1) // 2
    async with reader(_WATCHED, connection, prefix=prefix) as consumer:
        account.sent(await produce(lines[:half], connection, prefix=prefix))
        while not account.complete and time.monotonic() - last < _STALL_S:
            if switch is not None and account.has_settled(half):
                await switch()
                account.sent(await produce(lines[half:], connection, prefix=prefix), first=half)
                switch = None
            before = account.settled
            await _see(account, consumer, prefix, timeout_ms=200)
            if account.settled > before:
                last = time.monotonic()
            view.update()
            _check(workers)
        # Once more, so that a second result that follows close behind is counted.
        await _see(account, consumer, prefix, timeout_ms=1000)
    return last - began


async def _see(account: Account, consumer: Any, prefix: str, *, timeout_ms: int) -> None:
    """Take note of what has come, the models' part: what a reviewer decides meanwhile is no figure of theirs."""
    for records in (await consumer.getmany(timeout_ms=timeout_ms)).values():
        for record in records:
            message = decode(record, prefix)
            if message is not None and not (isinstance(message, Routed) and message.decided_by == "human"):
                account.see(message)


def _check(workers: Sequence[ChildProcess]) -> None:
    if not any(worker.alive for worker in workers):
        raise SandboxError(f"no worker is running any more; the last words of one:\n{workers[0].tail()}")


async def _with_memory(
    settings: Settings, options: DemoOptions, stack: AsyncExitStack, console: Console
) -> tuple[Settings, Memory | None]:
    """Return the settings with the memory that is meant, and the memory; or say why there is none."""
    if why_not := _left_out(options):
        _say(console, "memory", f"none: {why_not}")
        return settings, None
    path = options.memory or options.train
    wanted = MemorySettings(file=str(path.resolve()))
    labels = settings.label_set.labels
    embedder = await stack.enter_async_context(open_embedder(wanted.embedding, threads=0))
    tell = partial(_say, console, "memory")
    memory = await open_memory(path, embedder, labels, settings.redact, wanted.examples, tickets_kept=True, tell=tell)
    _say(console, "memory", f"{counted(len(memory), 'ticket')} of {path.name}, {wanted.examples} shown for each ticket")
    return settings.model_copy(update={"memory": wanted}), memory


def _left_out(options: DemoOptions) -> str | None:
    """Return why there is no memory; None if there is one."""
    fitted = options.policy.fitted
    if options.no_memory:
        return "--no-memory"
    if options.memory is not None:
        return None
    if fitted is not None and fitted.memory is None:
        return "the policy was fitted without one"
    return missing_extra("it", "memory")


async def _calibrate(
    known: Tickets | None, settings: Settings, memory: Memory | None, folder: Path, seed: int
) -> Calibrated | None:
    if known is None:
        return None
    async with _clients(settings) as (cheap, big):
        return await calibrate(known.tickets, cheap, big, memory, folder, seed=seed)


async def _compare(account: Account, settings: Settings, memory: Memory | None, seconds: float) -> dict[str, Any]:
    """Ask each tier alone about every ticket, and report."""
    tickets = {key: ticket for key, ticket in account.tickets.items() if ticket is not None}
    big_calls = {key: call for key in tickets for call in account.calls(key) if call.tier == "big"}
    recalled = {} if memory is None else dict(zip(tickets, await memory.recall(list(tickets.values())), strict=True))
    async with _clients(settings) as (cheap, big):
        return report(
            account,
            await baseline(cheap, tickets, account.classified, recalled),
            await baseline(big, tickets, big_calls, recalled),
            seconds,
        )


@asynccontextmanager
async def _desk(settings: Settings, local: str, console: Console) -> AsyncIterator[None]:
    """Serve the desk alongside, and at the end until the process is told to stop."""
    from streams.desk.serving import serve

    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = settings.model_copy(update={"desk": settings.desk.model_copy(update={"port": 0})})
    serving = asyncio.create_task(serve(waiting, local, address.set_result))
    telling = asyncio.create_task(_tell_desk(settings, local, address, console))
    try:
        yield
        if not serving.done():
            _say(console, "desk", f"still at {await address}; Ctrl-C here ends it")
        await serving
    finally:
        for task in (telling, serving):
            task.cancel()
        await asyncio.gather(telling, serving, return_exceptions=True)


async def _tell_desk(settings: Settings, local: str, address: Awaitable[str], console: Console) -> None:
    """Print where the desk is once a ticket waits there."""
    served = await address
    waiting: Sequence[QueueItem] = ()
    with closing(ReviewStore(settings.review.url)) as store:
        while not waiting:
            await asyncio.sleep(0.1)  # the store tells nobody what is new in it
            waiting = await asyncio.to_thread(store.waiting, 1)
    _say(
        console,
        "desk",
        f"the first ticket waits at {served}",
        f"no login: you are {local}. Press n there for a ticket, a digit to decide",
    )


@asynccontextmanager
async def _clients(settings: Settings) -> AsyncIterator[tuple[ModelClient, ModelClient]]:
    """Yield clients of the cheap and the big tier."""
    labels = settings.label_set
    async with (
        ModelClient("cheap", settings.tiers.cheap, labels, prompt=settings.prompt) as cheap,
        ModelClient("big", settings.tiers.big, labels, prompt=settings.prompt) as big,
    ):
        yield cheap, big


def write_report(figures: dict[str, Any], path: Path) -> None:
    """Write the report as JSON; raises SettingsError if the file cannot be written."""
    try:
        path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise SettingsError(f"report file {path}: {error.strerror}") from None

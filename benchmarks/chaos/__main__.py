"""Chaos: kill, freeze, add and remove things while tickets flow, then account for every ticket.

``python -m benchmarks.chaos --broker kafka --tickets N --worker-kills K --broker-kills B --model-fault-rate R --seed S
[--delivery exactly_once] [--memory] [--usd U] [--store-kills P] [--desk] [--logs FOLDER] --report FILE``.

Three Apache Kafka nodes (replication 3, two in sync), worker processes that are started again when they end, the sandbox's
model server with faults and a heavy latency tail. Tickets are repeated samples under new ids.

``visible_duplicates`` are results that a plain consumer of committed messages on ``routed``, which does nothing itself, sees
again. ``model_calls`` are the calls that a provider would charge for: every one that it did not refuse or cut off.
With ``--memory`` workers follow the topic ``memory``, of which half comes and some goes while things break. Every second ticket
has the text of a labelled one, and these answer alone: ``memory_accepts``. ``memory_wrong`` is how many workers have another number of examples in
the end than there are.
With ``--usd`` the models may cost that much in all, which is less than they would: ``budget_overshoot_usd`` is what was spent
beyond it, computed from the tokens that the model server counted. With ``--store-kills`` reviews are in PostgreSQL, which is killed
that often and started again. With ``--desk`` a reviewer decides all that waits; ``undecided`` are decisions without a result.
``extra_model_calls`` are those whose answer no result tells of; ``extra_by_cause`` says what led to them (``extra.py``).
``false_alerts`` said that an endpoint was down while the model server was there, or what nothing done here
leads to; ``alerts_duplicated`` told of what was told already and had not ended.
With ``--logs`` the workers' logs are kept, and lost tickets and false alerts are named on standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import httpx
import uvloop
from aiokafka import ConsumerRecord

from benchmarks.chaos import memory
from benchmarks.chaos.desk import Reviewer
from benchmarks.chaos.extra import Extra, answered
from benchmarks.chaos.plan import Step, plan
from benchmarks.chaos.stand import Outage, Stand, WorkerSlot, now_ms
from benchmarks.fleet import limited, spent_usd
from benchmarks.killable_postgres import KillablePostgres
from schemas import Alert, Routed
from streams.aio import Changes
from streams.core.guards.alert_book import AlertBook
from streams.core.guards.finding import AlertKind
from streams.core.policy.policy import Policy
from streams.delivery.stage import Delivery
from streams.demo.account import Account, Row
from streams.demo.run import demo_settings, local_connection
from streams.kafka.produce import produce
from streams.kafka.readers import decode, reader
from streams.kafka.topics import create_topics
from streams.observability.logs import configure_logging
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO, TRAIN
from streams.settings import Settings

_WATCHED = ("classifications", "routed", "reviews", "dead-letters", "alerts")
#: No end of a ticket.
_NO_END = {"chaos.alerts", "chaos.classifications"}
_STALL_S = 180.0
#: The demo's 5 s are too short here: with a backlog, calls wait longer for the CPU than that, and workers rightly say so.
_TIMEOUT_S = 10.0
_LOOK_S, _LOOKS = 0.5, 60
#: Faults strike at random and the mix of tickets stays, so none of these is ever so.
_NEVER = {AlertKind.CONTRACT_CHANGED, AlertKind.MODEL_NOT_ALLOWED, AlertKind.ESCALATION_SILENCE}
_FAULTS = ("logprobs_null", "logprobs_absent", "rate_limit", "server_error", "cut", "garbage")


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for on the command line."""

    broker: str
    tickets: int
    workers: int
    worker_kills: int
    broker_kills: int
    model_fault_rate: float
    seed: int
    delivery: Delivery
    memory: bool = False
    usd: float | None = None
    store_kills: int = 0
    desk: bool = False
    logs: Path | None = None


def ticket_lines(count: int, prefix: str = "c", *, known: bool = False) -> list[bytes]:
    """Return so many tickets: the bundled ones, repeated under new ids; with ``known`` every second one is of the labelled."""
    texts = [json.loads(line)["text"] for line in DEMO.read_text(encoding="utf-8").splitlines()]
    if known:
        labelled = (json.loads(line)["text"] for line in TRAIN.read_text(encoding="utf-8").splitlines())
        texts = [text for both in zip(texts, labelled, strict=False) for text in both]
    return [
        json.dumps({"ticket_id": f"{prefix}-{number}", "text": text}).encode()
        for number, text in enumerate(itertools.islice(itertools.cycle(texts), count))
    ]


def patient(settings: Settings) -> Settings:
    """Return the settings with time-outs that a model server keeps to while everything comes back at once on a small machine."""
    tiers = settings.tiers
    longer = {"timeout_s": _TIMEOUT_S}
    cheap, big = (tier.model_copy(update=longer) for tier in (tiers.cheap, tiers.big))
    return settings.model_copy(update={"tiers": tiers.model_copy(update={"cheap": cheap, "big": big})})


async def run(options: Options) -> dict[str, Any]:
    """Run the chaos and return the report."""
    lines = ticket_lines(options.tickets, known=options.memory)
    account = Account([Row.read(number, line) for number, line in enumerate(lines)])
    nodes = 3 if options.broker == "kafka" else 1
    broker = LocalKafka(nodes) if options.broker == "kafka" else EmbeddedBroker()
    faults = [f"{name}={options.model_fault_rate / len(_FAULTS):.4f}" for name in _FAULTS]
    models = ModelServer(TRAIN, faults=faults, seed=options.seed, latency_ms=20.0, tail_rate=0.005, tail_ms=3000.0)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hedgerow-chaos-")))
        if options.logs is not None:
            stack.callback(_keep_logs, folder, options.logs)
        await asyncio.gather(stack.enter_async_context(broker), stack.enter_async_context(models))
        connection = local_connection(broker)
        settings = demo_settings(connection, models.url, models.labels, Policy(), folder, prefix="chaos.")
        settings = patient(settings).model_copy(update={"delivery": options.delivery})
        if options.usd is not None:
            settings = limited(settings, options.usd)
        store = stack.enter_context(KillablePostgres()) if options.store_kills else None
        if store is not None:
            settings = settings.model_copy(update={"review": settings.review.model_copy(update={"url": store.url})})
        rows = await memory.labelled(models.labels) if options.memory else []
        first, later = rows[::2], rows[1::2]
        if options.memory:
            settings = memory.remembering(settings, len(first))
        partitions = settings.topics.partitions
        await create_topics(connection, prefix="chaos.", partitions=partitions, replication=nodes)
        if first:
            await memory.load(first, connection, "chaos.")
        slots = [WorkerSlot(number, settings, folder) for number in range(options.workers)]
        stand = Stand(broker, models, slots, settings, folder, store)
        stack.push_async_callback(stand.stop)
        for slot in slots:
            slot.start()
        account.sent(await produce(lines, connection, prefix="chaos."))
        steps = plan(options.seed, options.worker_kills, options.broker_kills, options.store_kills)
        loading = asyncio.create_task(memory.change(later, connection, "chaos."))
        watched = Watched(account)
        if options.desk:
            watched.reviewer = Reviewer(settings)
            await stack.enter_async_context(watched.reviewer.working())
        figures = await _break_and_watch(watched, stand, steps)
        if options.logs is not None:
            _name_broken(watched, stand)
        if options.usd is not None:
            figures |= {
                "spent_usd": round(watched.spent_usd, 4),
                "budget_overshoot_usd": round(max(0.0, watched.spent_usd - options.usd), 4),
            }
        if watched.reviewer is not None:
            figures |= {"decided": len(watched.reviewer.decided), "undecided": len(watched.undecided)}
        if options.store_kills:
            figures |= {"store_kills": stand.kills["store"]}
        if options.memory:
            await loading
            wrong = await _memory_wrong(stand, memory.left(first, later))
            figures |= {"memory_accepts": account.memory_accepts, "memory_wrong": wrong}
        return figures


def _keep_logs(folder: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, into)


def _name_broken(watched: Watched, stand: Stand) -> None:
    account = watched.account
    for ticket_id in sorted(account.tickets.keys() - account.results.keys()):
        print(f"lost: {ticket_id}", file=sys.stderr)
    for alert in account.alerts.values():
        if is_false(alert, stand.outages):
            print(f"false alert: {alert.model_dump_json()}", file=sys.stderr)


@dataclass
class Watched:
    """What a consumer of the topics that end tickets has seen."""

    account: Account
    results: Counter[str] = field(default_factory=Counter)
    """How often each result id came on ``routed``."""
    extra: Extra = field(default_factory=Extra)
    spent_usd: float = 0.0
    """What the tokens cost that those model servers had counted."""
    reviewer: Reviewer | None = None
    alerts_duplicated: int = 0
    changes: Changes = field(default_factory=Changes)
    _book: AlertBook = field(default_factory=AlertBook)

    def leave(self, stats: dict[str, Any]) -> None:
        """Take what a model server has counted that goes away."""
        self.extra.leave(stats)
        self.spent_usd += spent_usd(stats)

    @property
    def undecided(self) -> set[str]:
        """Tickets whose decision is stored and has no result."""
        return set() if self.reviewer is None else self.reviewer.decided - self.account.routed.keys()

    @property
    def waits_for_decisions(self) -> bool:
        """Whether a reviewer is still to end a ticket."""
        return self.reviewer is not None and bool(self.account.in_review)

    def see(self, record: ConsumerRecord) -> None:
        """Take note of one record."""
        message = decode(record, "chaos.")
        if message is None:
            return
        if isinstance(message, Alert) and message.alert_id not in self.account.alerts:
            self.alerts_duplicated += self._stands(message)
            self._book.take(message)
        self.account.see(message)
        self.extra.see(message)
        self.changes.note()
        if isinstance(message, Routed):
            self.results[message.result_id] += 1

    def _stands(self, alert: Alert) -> bool:
        """Return whether the same was told already, and has not ended."""
        parts = [str(alert.details.get(name, "")) for name in ("use", "reason", "returned", "breaker")]
        return any(
            [each.kind, each.use, each.reason, each.returned, each.breaker] == [alert.kind, *parts]
            for each in self._book.standing(alert.source)
        )

    @property
    def visible_duplicates(self) -> int:
        """How many results came again."""
        return self.results.total() - len(self.results)


async def _break_and_watch(watched: Watched, stand: Stand, steps: list[Step]) -> dict[str, Any]:
    """Do the steps as tickets settle, until all are settled or nothing moves any more; then report."""
    account = watched.account
    began = last = time.monotonic()
    longest = 0.0
    async with (
        reader(_WATCHED, stand.settings.broker.connection, prefix="chaos.") as consumer,
        asyncio.TaskGroup() as beside,
    ):
        # Beside the reading, so that no wait for a broken part is taken for a pause.
        breaking = beside.create_task(_break(watched, stand, steps))
        tending = beside.create_task(stand.tend())
        while (
            not (account.complete and breaking.done() and not watched.waits_for_decisions)
            and time.monotonic() - last < _STALL_S
        ):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    watched.see(record)
                    if record.topic not in _NO_END:
                        longest = max(longest, time.monotonic() - last)
                        last = time.monotonic()
        breaking.cancel()
        await stand.settle()
        await _late(watched, consumer)
        tending.cancel()
    watched.leave(await stand.models.stats())
    return _report(watched, stand, longest, last - began)


async def _memory_wrong(stand: Stand, examples: int) -> int:
    """Return how many workers have another number of examples, if they are given some time to read the last ones."""
    async with httpx.AsyncClient(timeout=2.0) as http:
        for _ in range(_LOOKS):
            await asyncio.gather(*(slot.look(http) for slot in stand.slots), asyncio.sleep(_LOOK_S))
            if not (wrong := sum(slot.examples != examples for slot in stand.slots)):
                break
    return wrong


async def _break(watched: Watched, stand: Stand, steps: list[Step]) -> None:
    """Do each step once its share of the tickets is settled."""
    account = watched.account
    for step in steps:
        while account.settled < step.at * len(account.tickets):
            await watched.changes.next()
        at = datetime.now(UTC).time().isoformat("milliseconds")
        print(f"{at} {account.settled}/{len(account.tickets)} {step.act}", file=sys.stderr, flush=True)
        if step.act == "cut_models":
            stand.outages.append(Outage(now_ms()))
            await stand.models.set_faults(
                ["server_error=1.0"]
            )  # charges nothing any more, so that the count is complete
            watched.leave(await stand.models.stats())
        await stand.do(step)


def is_false(alert: Alert, outages: list[Outage]) -> bool:
    """Return whether an alert says that an endpoint is down, made while the model server was there, or what is never so here."""
    if alert.kind in _NEVER:
        return True
    return alert.kind == AlertKind.ENDPOINT_DOWN and not any(outage.covers(alert.at_ms) for outage in outages)


async def _late(watched: Watched, consumer: Any) -> None:
    """Look for second results for a while after the last first one."""
    for _ in range(10):
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                watched.see(record)


def _report(watched: Watched, stand: Stand, longest: float, seconds: float) -> dict[str, Any]:
    account = watched.account
    recorded = sum(answered(call) for key in account.results for call in account.calls(key))
    return {
        "tickets": len(account.tickets),
        "lost": account.lost,
        "duplicates": account.duplicates,
        "unscored_accepts": account.unscored_accepts,
        "routed": len(account.routed),
        "dead_letters": len(account.dead),
        "worker_kills": stand.kills["worker"],
        "broker_kills": stand.kills["broker"],
        "rebalances": round(sum(sum(slot.rebalances.values()) for slot in stand.slots)),
        "redelivered": account.redelivered,
        "visible_duplicates": watched.visible_duplicates,
        "model_calls": watched.extra.charged,
        "extra_model_calls": watched.extra.charged - recorded,
        "extra_by_cause": watched.extra.by_cause(recorded, stand.starts),
        "alerts": dict(Counter(alert.kind for alert in account.alerts.values())),
        "false_alerts": sum(is_false(alert, stand.outages) for alert in account.alerts.values()),
        "alerts_duplicated": watched.alerts_duplicated,
        "max_pause_s": round(longest, 2),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Run, print, write the report; exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--tickets", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--worker-kills", type=int, default=3)
    parser.add_argument("--broker-kills", type=int, default=1)
    parser.add_argument("--model-fault-rate", type=float, default=0.3)
    parser.add_argument("--delivery", choices=get_args(Delivery), default="at_least_once")
    parser.add_argument("--memory", action="store_true", help="workers have a memory, which may answer alone")
    parser.add_argument("--usd", type=float, help="what the models may cost in all")
    parser.add_argument("--store-kills", type=int, default=0, help="reviews are in PostgreSQL, killed this often")
    parser.add_argument("--desk", action="store_true", help="a reviewer decides everything that waits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logs", type=Path, help="keep the workers' logs in this folder")
    parser.add_argument("--report", type=Path)
    parsed = vars(parser.parse_args())
    report: Path | None = parsed.pop("report")
    configure_logging(level="error", libraries=50)
    figures = uvloop.run(run(Options(**parsed)))
    print(json.dumps(figures, indent=1))
    if report:
        report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    promised = ["lost", "duplicates", "unscored_accepts"]
    if parsed["delivery"] == "exactly_once":
        promised.append("visible_duplicates")
    if parsed["memory"]:
        promised.append("memory_wrong")
    if parsed["desk"]:
        promised.append("undecided")
    sys.exit(1 if any(figures[name] for name in promised) else 0)


if __name__ == "__main__":
    main()

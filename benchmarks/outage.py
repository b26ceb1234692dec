"""Takes the model endpoints, or the broker, away while tickets flow, brings them back, and accounts for every ticket.

``python -m benchmarks.outage [--broker embedded|kafka] [--delivery at_least_once|exactly_once]
[--fault kill|rate_limit|server_error|hang|cheap|broker] [--seconds 60] [--rate 50] [--kill-worker] [--json FILE]``

Tickets come at a steady rate until the endpoints are back. With ``--kill-worker`` there are two workers, and one of them is
killed while it holds and started again at once. ``cheap`` is an outage of the cheap tier alone, which answers 500.
``broker`` stops Kafka, or freezes the embedded broker, which keeps nothing; ``log_lines`` is how many lines the workers log
from then on.

``calls_answered`` is what a provider would charge for during the outage. ``calls_late`` is how many calls reached the server
in the last third of the outage, when the tickets that were in flight at its beginning have used up their attempts; a worker
that starts then uses up those of its own.
``backlog_s`` is the backlog's own time: the tickets that waited at the return, at the rate at which the middle four fifths of
them came out. ``last_routed_s`` counts from the return, and may be ``backlog_s`` and 30 s more.
``repeated_alerts`` came under an id that the topic had: a reader that keeps the first of each id does not see them.
``alerts`` has the others, with the time since the outage began.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import aiohttp
import uvloop

from benchmarks.chaos.stand import WorkerSlot
from benchmarks.workers import Stand, stand
from schemas import Alert, Routed, Ticket
from streams.aio import Changes
from streams.delivery.stage import Delivery
from streams.demo.account import Account
from streams.kafka.connection import Connection
from streams.kafka.readers import decode, reader
from streams.kafka.send import open_outbox
from streams.observability.logs import configure_logging
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO, TRAIN
from streams.settings import Settings

PREFIX = "outage."
_FAULTS = {
    "rate_limit": "rate_limit=1",
    "server_error": "server_error=1",
    "hang": "hang=1",
    "cheap": "cheap:server_error=1",
}
#: Neither is the model server's.
_KILL, _BROKER = "kill", "broker"
_MOST_LINES = 10
_WATCHED = ("routed", "reviews", "dead-letters", "alerts")
_CALM_S = 5.0
#: For what the model server has begun to answer.
_MOMENT_S = 0.5
_STALL_S = 120.0
_BEYOND_S = 30.0
#: Calls that a worker which starts in an outage makes to one endpoint before it knows: its tickets in flight, six attempts each.
_OF_A_START = 64 * 6
_UNANSWERED = re.compile("no_answer|outage")


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for on the command line."""

    broker: str
    delivery: Delivery
    fault: str
    seconds: float
    rate: int
    kill_worker: bool


@dataclass
class Seen:
    """What consumers saw of the tickets, and when (seconds of a clock that never goes back)."""

    account: Account = field(default_factory=lambda: Account([]))
    ended: dict[str, float] = field(default_factory=dict)
    """When each ticket's first end was seen, by its key in the account."""
    results: Counter[str] = field(default_factory=Counter)
    alerts: dict[str, Alert] = field(default_factory=dict)
    """Those that came first of each id."""
    repeated_alerts: int = 0
    changes: Changes = field(default_factory=Changes)

    async def run(self, connection: Connection) -> None:
        """Read until cancelled."""
        async with reader(_WATCHED, connection, prefix=PREFIX) as consumer:
            while True:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        self._see(decode(record, PREFIX))

    def _see(self, message: Any) -> None:
        if isinstance(message, Alert):
            self.repeated_alerts += message.alert_id in self.alerts
            self.alerts.setdefault(message.alert_id, message)
        elif message is not None:
            self.account.see(message)
            for key in self.account.results.keys() - self.ended.keys():
                self.ended[key] = time.monotonic()
            if isinstance(message, Routed):
                self.results[message.result_id] += 1
        self.changes.note()

    def told(self, kind: str) -> dict[str, int]:
        """Return how many alerts of this kind there were, by source."""
        return dict(Counter(alert.source for alert in self.alerts.values() if alert.kind == kind))


@dataclass
class Ready:
    """How the ready and health pages of a worker answered, from the first "degraded" or 503 on."""

    statuses: Counter[int] = field(default_factory=Counter)
    endpoints: set[str] = field(default_factory=set)
    health: Counter[int] = field(default_factory=Counter)

    async def look(self, slot: WorkerSlot) -> None:
        """Look twice a second until cancelled."""
        root = f"http://127.0.0.1:{slot.port.number}"
        async with aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"{root}/ready") as ready, http.get(f"{root}/health") as health:
                    facts = await ready.json()
                    if facts["status"] == "degraded" or ready.status != 200 or self.statuses:
                        self.statuses[ready.status] += 1
                        self.health[health.status] += 1
                        self.endpoints.update(facts["endpoints"])
                await asyncio.sleep(0.5)


async def send(seen: Seen, connection: Connection, rate: int, over: asyncio.Event) -> None:
    """Send tickets at a steady rate until it is over: the bundled ones, again and again, under new ids."""
    texts = [json.loads(line)["text"] for line in DEMO.read_text(encoding="utf-8").splitlines()]
    began, tickets = time.monotonic(), seen.account.tickets
    async with open_outbox(connection, prefix=PREFIX) as outbox:
        last = False
        while not last:
            last = over.is_set()  # with what could not be sent without a broker
            due = int((time.monotonic() - began) * rate)
            numbers = range(len(tickets), due)
            batch = [Ticket(ticket_id=f"o-{number}", text=texts[number % len(texts)]) for number in numbers]
            tickets.update((f"ticket {ticket.ticket_id}", ticket) for ticket in batch)
            if batch:
                await outbox.send(batch)
            await asyncio.sleep(0.1)


async def run(options: Options) -> dict[str, Any]:
    """Run one outage and return the report."""
    models, workers = ModelServer(TRAIN, latency_ms=20.0), 2 if options.kill_worker else 1

    def delivered(settings: Settings) -> Settings:
        return settings.model_copy(update={"delivery": options.delivery})

    async with stand(options.broker, models, workers, prefix=PREFIX, adjusted=delivered) as there:
        seen, ready, over = Seen(), Ready(), asyncio.Event()
        async with asyncio.TaskGroup() as beside:
            sending = beside.create_task(send(seen, there.connection, options.rate, over))
            tasks = [beside.create_task(work) for work in (seen.run(there.connection), ready.look(there.slots[0]))]

            async def no_more() -> None:
                over.set()
                await asyncio.wait({sending})

            try:
                return await _outage(options, models, there, seen, ready, no_more)
            finally:
                for task in (sending, *tasks):
                    task.cancel()


async def _take_away(options: Options, models: ModelServer, broker: LocalKafka | EmbeddedBroker) -> None:
    if options.fault == _KILL:
        await models.stop()
    elif options.fault != _BROKER:
        await models.set_faults([_FAULTS[options.fault]])
    elif isinstance(broker, LocalKafka):
        await broker.kill(0)
    else:
        for pid in broker.pids:
            os.kill(pid, signal.SIGSTOP)


async def _bring_back(options: Options, models: ModelServer, broker: LocalKafka | EmbeddedBroker) -> None:
    if options.fault == _KILL:
        await models.start()
    elif options.fault != _BROKER:
        await models.set_faults([])
    elif isinstance(broker, LocalKafka):
        await broker.restart(0)
        await broker.wait_ready()
    else:
        for pid in broker.pids:
            os.kill(pid, signal.SIGCONT)


async def _outage(
    options: Options,
    models: ModelServer,
    there: Stand,
    seen: Seen,
    ready: Ready,
    no_more: Callable[[], Awaitable[None]],
) -> dict[str, Any]:
    """Let tickets flow, take endpoints or broker away, bring them back, wait for the last ticket, and report."""
    account, fault = seen.account, _FAULTS.get(options.fault)
    broker, slots = there.broker, there.slots
    await asyncio.sleep(_CALM_S)
    began, began_ms, lines = time.monotonic(), time.time_ns() // 1_000_000, _lines(slots)
    await _take_away(options, models, broker)
    await asyncio.sleep(_MOMENT_S)
    before = await models.stats() if fault else None
    print(f"down after {len(account.tickets)} tickets", file=sys.stderr, flush=True)
    await asyncio.sleep(options.seconds * 2 / 3)
    late = await models.stats() if fault else None
    if options.kill_worker:
        victim = slots[-1].process
        assert victim is not None
        await victim.kill()
        slots[-1].start()
    await asyncio.sleep(options.seconds / 3)
    end = await models.stats() if fault else None
    await _bring_back(options, models, broker)
    back = time.monotonic()
    await no_more()
    waiting = account.tickets.keys() - seen.ended.keys()
    print(f"back after {back - began:.1f} s, {len(waiting)} tickets wait", file=sys.stderr, flush=True)
    while not account.complete and time.monotonic() - max(back, *seen.ended.values()) < _STALL_S:
        await seen.changes.until(lambda: account.complete, 1.0)
    await asyncio.sleep(_CALM_S)  # for second results, and the last alerts
    times = sorted(seen.ended[key] - back for key in waiting & seen.ended.keys()) or [0.0]
    tenth, middle = len(times) // 10, max(times[-1 - len(times) // 10] - times[len(times) // 10], 0.001)
    throughput = max(1, len(times) - 2 * tenth) / middle
    lives = sum(slot.lives for slot in slots)
    return {
        "tickets": len(account.tickets),
        "routed": len(account.routed),
        "in_review": len(account.in_review),
        "in_review_no_answer": sum(any(map(_UNANSWERED.search, review.reasons)) for review in account.reviews.values()),
        "dead_letters": len(account.dead),
        "lost": account.lost,
        "duplicates": account.duplicates,
        "visible_duplicates": seen.results.total() - len(seen.results),
        "outage_s": round(back - began, 1),
        "backlog": len(waiting),
        "first_routed_s": round(times[0], 1),
        "last_routed_s": round(times[-1], 1),
        "backlog_s": round(len(times) / throughput, 1),
        "calls": _more("requests", before, end),
        "calls_answered": _more("answered", before, end),
        "calls_late": _more("requests", late, end),
        "workers": lives,
        "log_lines": _lines(slots) - lines,
        "endpoint_down": seen.told("endpoint_down"),
        "recovered": seen.told("recovered"),
        "repeated_alerts": seen.repeated_alerts,
        "alerts": [
            f"{(alert.at_ms - began_ms) / 1000:.1f} s: {alert.kind} {alert.source}" for alert in seen.alerts.values()
        ],
        "ready": dict(ready.statuses),
        "degraded": sorted(ready.endpoints),
        "health": dict(ready.health),
    }


def _lines(slots: list[WorkerSlot]) -> int:
    return sum((slot.folder / f"worker-{slot.number}.log").read_bytes().count(b"\n") for slot in slots)


def _more(name: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> int:
    return 0 if before is None or after is None else after[name] - before[name]


def broken_promises(options: Options, figures: dict[str, Any]) -> list[str]:
    """Return what did not come true, one line each."""
    down, recovered = figures["endpoint_down"], figures["recovered"]
    workers, broker_only = 2 if options.kill_worker else 1, options.fault == _BROKER
    trials = workers * 2 * (options.seconds / 3 + 2)
    if options.kill_worker:
        trials += 2 * _OF_A_START
    promises = {
        "a ticket is in front of a reviewer for want of an answer": not figures["in_review_no_answer"],
        "a dead letter": not figures["dead_letters"],
        "a ticket is lost": not figures["lost"],
        "a ticket ended twice": not figures["duplicates"],
        "a consumer sees a result twice": options.delivery == "at_least_once" or not figures["visible_duplicates"],
        "the backlog took too long": figures["last_routed_s"] <= figures["backlog_s"] + _BEYOND_S,
        "answers were paid for": options.fault == "cheap" or not figures["calls_answered"],
        "more than trials": figures["calls_late"] <= trials,
        "the outage was not told once": (
            broker_only
            # The big tier's is noticed only if a ticket is on its way there.
            or (any(source.startswith("cheap:") for source in down) and set(down.values()) == {1})
        ),
        "the end was not told once": recovered == down,
        "/ready was not 200 and degraded, or 503 without a broker": (
            # A worker that takes over another one's partitions is not ready until it has them.
            ((set(figures["ready"]) == {200} or options.kill_worker) and bool(figures["degraded"]))
            or (broker_only and 503 in figures["ready"])
        ),
        "the log says too much": not broker_only or figures["log_lines"] < workers * _MOST_LINES,
        "/health was not 200": set(figures["health"]) == {200},
    }
    return [broken for broken, kept in promises.items() if not kept]


def main() -> None:
    """Run, print, write the report; exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--delivery", choices=get_args(Delivery), default="at_least_once")
    parser.add_argument("--fault", choices=(_KILL, *_FAULTS, _BROKER), default=_KILL)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--kill-worker", action="store_true")
    parser.add_argument("--json", type=Path)
    parsed = vars(parser.parse_args())
    report: Path | None = parsed.pop("json")
    options = Options(**parsed)
    configure_logging(level="error", libraries=50)
    figures = uvloop.run(run(options))
    figures["broken"] = broken_promises(options, figures)
    print(json.dumps(figures, indent=1))
    if report:
        report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if figures["broken"] else 0)


if __name__ == "__main__":
    main()

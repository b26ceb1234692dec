"""Has several workers share a budget while there is twice as much to do, and says what was spent in truth.

``python -m benchmarks.fleet [--broker embedded|kafka] [--workers 4] [--usd 0.50 | --escalations 200] [--tickets 6000]
[--kill] [--seed 0] [--json FILE]``

What was spent is computed from the tokens that the model server counted, whatever the workers believe; escalations are the
tickets on their topic. With ``--kill`` all workers are killed when half of the limit is used, and started again at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.workers import stand
from schemas import Escalation, Ticket
from streams.core.policy.policy import Policy
from streams.kafka.connection import Connection
from streams.kafka.readers import decode, reader
from streams.kafka.send import publish
from streams.observability.logs import configure_logging
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO, TRAIN
from streams.settings import Settings

_PREFIX = "fleet."
#: USD per million tokens, in and out: 3,000 tickets cost about a dollar.
_PRICES = {"cheap": 0.5, "big": 5.0}
_PATIENCE_S = 300.0
#: Nothing more is spent if nothing was for this long, seconds.
_QUIET_S = 8.0


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for on the command line."""

    broker: str
    workers: int
    usd: float
    escalations: int | None
    tickets: int
    kill: bool
    seed: int


def limited(settings: Settings, max_usd_per_hour: float | None) -> Settings:
    """Return the settings with prices and the limit."""
    tiers = settings.tiers
    priced = {
        tier: tiers.of(tier).model_copy(update={"input_usd_per_million": usd, "output_usd_per_million": usd})
        for tier, usd in _PRICES.items()
    }
    return settings.model_copy(
        update={
            "tiers": tiers.model_copy(update=priced),
            "guards": settings.guards.model_copy(update={"max_usd_per_hour": max_usd_per_hour}),
        }
    )


def spent_usd(stats: dict[str, Any]) -> float:
    """Return what the calls cost that the model server counted, USD."""
    models = {name.removeprefix("sandbox-"): counts for name, counts in stats["models"].items()}
    return sum(
        usd * (models[tier]["prompt_tokens"] + models[tier]["completion_tokens"]) / 1e6 for tier, usd in _PRICES.items()
    )


async def run(options: Options) -> dict[str, Any]:
    """Do the work and return the report."""
    models = ModelServer(TRAIN, seed=options.seed)
    texts = [json.loads(line)["text"] for line in DEMO.read_text(encoding="utf-8").splitlines()]
    random.Random(options.seed).shuffle(texts)
    policy = Policy(max_escalations_per_hour=options.escalations)

    def with_limit(settings: Settings) -> Settings:
        return limited(settings, options.usd if options.escalations is None else None)

    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(
            stand(options.broker, models, options.workers, prefix=_PREFIX, policy=policy, adjusted=with_limit)
        )
        tickets = [
            Ticket(ticket_id=f"f-{number}", text=texts[number % len(texts)]) for number in range(options.tickets)
        ]
        most = options.usd if options.escalations is None else float(options.escalations)

        escalated: set[str] = set()
        following = asyncio.create_task(_follow(there.connection, escalated))
        stack.callback(following.cancel)

        async def spent() -> float:
            return spent_usd(await models.stats()) if options.escalations is None else float(len(escalated))

        sending = asyncio.create_task(publish(tickets, there.connection, prefix=_PREFIX))
        if options.kill:
            await _until(spent, lambda now: now >= most / 2)
            await asyncio.gather(*(slot.process.kill() for slot in there.slots if slot.process is not None))
            for slot in there.slots:
                slot.start()
        await sending
        total = await _quiet(spent)
    return {
        "limit": "max_usd_per_hour" if options.escalations is None else "max_escalations_per_hour",
        "most": most,
        "used": round(total, 6),
        "overshoot": round(max(0.0, total - most), 6),
        "unused": round(max(0.0, most - total), 6),
        "workers": options.workers,
        "tickets": options.tickets,
        "killed": options.workers if options.kill else 0,
    }


async def _follow(connection: Connection, escalated: set[str]) -> None:
    """Note each ticket that is escalated, until cancelled."""
    async with reader(["escalations"], connection, prefix=_PREFIX) as consumer:
        async for record in consumer:
            if isinstance(message := decode(record, _PREFIX), Escalation):
                escalated.add(message.ticket.ticket_id)


async def _until(spent: Callable[[], Any], reached: Callable[[float], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not reached(await spent()):  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.1)


async def _quiet(spent: Callable[[], Any]) -> float:
    """Return what was used once nothing more is."""
    last, since = -1.0, time.monotonic()
    async with asyncio.timeout(_PATIENCE_S):
        while time.monotonic() - since < _QUIET_S:
            now = await spent()
            if now != last:
                last, since = now, time.monotonic()
            await asyncio.sleep(0.2)
    return last


def main() -> None:
    """Run, print, write the report; exit 1 if the limit was exceeded by more than 2 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--usd", type=float, default=0.5)
    parser.add_argument("--escalations", type=int)
    parser.add_argument("--tickets", type=int, default=6_000)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parsed = vars(parser.parse_args())
    report: Path | None = parsed.pop("json")
    options = Options(**parsed)
    configure_logging(level="error", libraries=50)
    figures = uvloop.run(run(options))
    print(json.dumps(figures, indent=1))
    if report:
        report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if figures["overshoot"] > 0.02 * figures["most"] else 0)


if __name__ == "__main__":
    main()

"""Takes an endpoint away from several workers at once and counts what they say of it: one alert, and one ``recovered``.

``python -m benchmarks.fleet_outage [--broker embedded|kafka] [--workers 4] [--fault silent|change|some] [--seconds 20]
[--rate 60] [--roll] [--seed 0] [--json FILE]``

The cheap model's endpoint answers with errors (``silent``), without logprobs (``change``), or without them three times in ten
(``some``). With ``--roll`` the workers are stopped and started again one after another meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.chaos.stand import WorkerSlot
from benchmarks.outage import PREFIX, Seen, send
from benchmarks.workers import end_worker, stand, until_ready
from streams.observability.logs import configure_logging
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import TRAIN

#: The faults, and the alert that each leads to.
_FAULTS = {
    "silent": ("cheap:server_error=1", "endpoint_down"),
    "change": ("cheap:logprobs_null=1", "contract_changed"),
    "some": ("cheap:logprobs_null=0.3", "signal_outage"),
}
_CHEAP = "cheap:sandbox-cheap"
_CALM_S = 8.0
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for on the command line."""

    broker: str
    workers: int
    fault: str
    seconds: float
    rate: int
    roll: bool
    seed: int


async def run(options: Options) -> dict[str, Any]:
    """Run one outage and return the report."""
    models = ModelServer(TRAIN, seed=options.seed, latency_ms=20.0)
    async with stand(options.broker, models, options.workers, prefix=PREFIX) as there:
        seen, over = Seen(), asyncio.Event()
        async with asyncio.TaskGroup() as beside:
            reading = beside.create_task(seen.run(there.connection))
            sending = beside.create_task(send(seen, there.connection, options.rate, over))
            try:
                return await _outage(options, models, there.slots, seen, over)
            finally:
                over.set()
                await asyncio.wait({sending})
                reading.cancel()


async def _outage(
    options: Options, models: ModelServer, slots: list[WorkerSlot], seen: Seen, over: asyncio.Event
) -> dict[str, Any]:
    fault, kind = _FAULTS[options.fault]
    await asyncio.sleep(_CALM_S)
    early = len(seen.alerts)
    await models.set_faults([fault])
    began, began_ms = time.monotonic(), time.time_ns() // 1_000_000
    found = await _within(seen, lambda: bool(seen.told(kind).get(_CHEAP)))
    noticed_s = time.monotonic() - began
    if options.roll:
        for slot in slots:
            await end_worker(slot)
            slot.start()
            await until_ready(slot)
    await asyncio.sleep(max(options.seconds * 2 / 3, options.seconds - noticed_s))
    asked = await _asked(models)
    late_began = time.monotonic()
    await asyncio.sleep(options.seconds / 3)
    late, late_s = await _asked(models) - asked, time.monotonic() - late_began
    await models.set_faults([])
    back = time.monotonic()
    await _within(seen, lambda: bool(seen.told("recovered").get(_CHEAP)))
    recovered_s = time.monotonic() - back
    over.set()
    await _within(seen, lambda: seen.account.complete)
    await asyncio.sleep(_CALM_S)  # for second alerts
    alerts = list(seen.alerts.values())[early:]
    told = Counter(f"{alert.kind} {alert.source}" for alert in alerts)
    return {
        "fault": options.fault,
        "workers": options.workers,
        "lives": sum(slot.lives for slot in slots),
        "tickets": len(seen.account.tickets),
        "lost": seen.account.lost,
        "expected": found,
        "begun": told[f"{kind} {_CHEAP}"],
        "recovered": told[f"recovered {_CHEAP}"],
        "told": dict(told),
        "alerts_before": early,
        "repeated_alerts": seen.repeated_alerts,
        "noticed_s": round(noticed_s, 1),
        "recovered_s": round(recovered_s, 1),
        "calls_late_per_s": round(late / late_s, 2),
        "alerts": [f"{(alert.at_ms - began_ms) / 1000:.1f} s: {alert.kind} {alert.summary}" for alert in alerts],
    }


async def _within(seen: Seen, condition: Any) -> bool:
    await seen.changes.until(condition, _PATIENCE_S)
    return bool(condition())


async def _asked(models: ModelServer) -> int:
    return int((await models.stats())["models"]["sandbox-cheap"]["requests"])


def broken_promises(figures: dict[str, Any]) -> list[str]:
    """Return what did not come true, one line each."""
    promises = {
        "a ticket is lost": not figures["lost"],
        "there was an alert before": not figures["alerts_before"],
        "the finding was not told once": figures["begun"] == 1,
        "its end was not told once": figures["recovered"] == 1,
    }
    return [broken for broken, kept in promises.items() if not kept]


def main() -> None:
    """Run, print, write the report; exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--fault", choices=tuple(_FAULTS), default="silent")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=60)
    parser.add_argument("--roll", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parsed = vars(parser.parse_args())
    report: Path | None = parsed.pop("json")
    configure_logging(level="error", libraries=50)
    figures = uvloop.run(run(Options(**parsed)))
    print(json.dumps(figures, indent=1))
    if report:
        report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for broken in (found := broken_promises(figures)):
        print(broken, file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

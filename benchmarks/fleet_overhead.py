"""What it costs the score stage that its guards are those of all workers: with the topic ``fleet`` against without, side by side.

``python -m benchmarks.fleet_overhead [--messages N] [--rounds R] [--broker kafka|embedded] [--json FILE]``. Both have the same
guards. With ``fleet`` the worker tells what they saw, and follows three others that tell as much every second; what those
spend on telling is counted too, as they are in the same process. Rounds alternate. ``overhead`` is what the workers' words cost of
a core: the CPU time that the medians differ by, by the time that passed. On a busy machine a round takes longer, and
more is said in it, so that the rates themselves differ by more.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop

from benchmarks.stage import LABELS, Clock, classification, fill, ours
from benchmarks.unguarded import never_stale
from streams.agents import guards
from streams.agents.score import ScoreHandler
from streams.aio import in_background
from streams.core.fleet import Member
from streams.core.guards import GuardLimits
from streams.core.policy.policy import Policy
from streams.demo.run import local_connection
from streams.fleet.link import FleetLink
from streams.kafka.connection import Connection
from streams.kafka.topics import create_topics
from streams.observability.logs import configure_logging
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka

_PREFIX = "stage."
_OTHERS = 3


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _scoring(member: Member) -> ScoreHandler:
    """Return the handler behind its guards, whose state the member tells."""
    clock = guards.Clock(time.monotonic, _wall_ms)
    guarded = guards.Guards(None, GuardLimits(), None, clock, member=member)
    check = guarded.decisions("cheap", "sandbox-cheap").check
    return ScoreHandler(Policy(), len(LABELS), check=check, stale=never_stale)


@asynccontextmanager
async def _speaking(member: Member, connection: Connection) -> AsyncIterator[None]:
    async with FleetLink(member, connection, _PREFIX, _wall_ms).running(required=True, failed=print):
        yield


async def _decide(others: Sequence[ScoreHandler]) -> None:
    """Let the others have something to tell every second."""
    for number in itertools.count():
        for scoring in others:
            scoring(classification(number))
        await asyncio.sleep(0.5)


async def _with_others(connection: Connection, total: int, number: int) -> Clock:
    members = [Member(f"w{number}-{place}", "g", {}) for place in range(1 + _OTHERS)]
    scoring = [_scoring(member) for member in members]
    async with AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(_speaking(member, connection))
        await stack.enter_async_context(in_background(_decide(scoring[1:])))
        return await ours(connection, _PREFIX, total, scoring[0])


async def _alone(connection: Connection, total: int, number: int) -> Clock:
    return await ours(connection, _PREFIX, total, _scoring(Member(f"alone-{number}", "g", {})))


async def measure(broker: str, total: int, rounds: int) -> dict[str, object]:
    """Run the rounds and return the figures."""
    async with LocalKafka() if broker == "kafka" else EmbeddedBroker() as server:
        connection = local_connection(server)
        await create_topics(connection, prefix=_PREFIX, partitions=4, replication=1)
        await fill(connection, _PREFIX, total)
        rates: dict[str, list[float]] = {"alone": [], "fleet": []}
        walls: dict[str, list[float]] = {"alone": [], "fleet": []}
        runs = [("alone", _alone), ("fleet", _with_others)]
        for number in range(rounds):
            for name, run in runs if number % 2 else reversed(runs):
                clock = await run(connection, total, number)
                rates[name].append(total / clock.cpu)
                walls[name].append(clock.wall)
                print(f"round {number + 1} {name:<5} {rates[name][-1]:8.0f}/CPU-s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    wall_s = statistics.median(walls["fleet"])
    return {
        "broker": broker,
        "messages": total,
        "rounds": rounds,
        "alone_per_cpu_second": round(medians["alone"]),
        "fleet_per_cpu_second": round(medians["fleet"]),
        "fleet_wall_s": round(wall_s, 2),
        "overhead": round((total / medians["fleet"] - total / medians["alone"]) / wall_s, 4),
    }


def main() -> None:
    """Measure, print, and write the report if one is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    configure_logging(level="error")
    figures = uvloop.run(measure(options.broker, options.messages, options.rounds))
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Our four stages, the hand-written program and quixstreams, in one run on one local Apache Kafka and one model server.

Beside them a program without any work shows what the broker alone takes.

``python -m benchmarks.pipeline --tickets N --report FILE [--rounds R] [--only PART ...] [--soak MESSAGES]
[--warm-up SECONDS] [--quixstreams-python PYTHON] [--profile FOLDER]``. The three use the same HTTP transport, messages and decision, and await
delivery before they commit. The order of the arms alternates from round to round, and the figures are medians. ``--soak``
runs that many messages through the score stage for the memory figures; without it they are those of the throughput rounds.
quixstreams pins an older pydantic, so it may live in a separate environment; if the interpreter has none, its figures are null.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.pipeline import rounds
from benchmarks.pipeline.arms import BARE, BY_HAND, OURS, Arm, quixstreams
from benchmarks.pipeline.profile import profile
from benchmarks.pipeline.report import Raw, report
from benchmarks.pipeline.stand import Stand, standing
from streams.observability.logs import configure_logging
from streams.sandbox.brokers.kafka_jars import LONG_RUN

PARTS = ("throughput", "share", "overhead", "scale", "memory")
#: quixstreams calls out once a checkpoint, so it has no steady number in flight, and its latency is its commit interval.
_TIMED = (OURS, BY_HAND)
_QUIET_PER_SECOND = 100.0
#: Tickets with a memory are so much dearer that a part of them is enough.
_FEWER = 4


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for on the command line."""

    tickets: int
    rounds: int
    only: tuple[str, ...] = PARTS
    soak: int = 0
    warm_up: float = 0.0
    quixstreams_python: str = sys.executable
    profile: Path | None = None
    jvm_flags: Sequence[str] = LONG_RUN


async def run(options: Options) -> dict[str, Any]:
    """Run every round and return the report."""
    raw = Raw(load_average=[os.getloadavg()[0]])
    quix = quixstreams(options.quixstreams_python)
    arms = [OURS, BY_HAND] if quix is None else [OURS, BY_HAND, quix]
    with tempfile.TemporaryDirectory(prefix="hedgerow-pipeline-") as folder:
        async with standing(Path(folder), options.jvm_flags) as stand:
            await rounds.warm_up(stand, options.warm_up)
            for number in range(options.rounds):
                await _round(raw, stand, arms if number % 2 else arms[::-1], options)
            if "scale" in options.only:
                for _ in range(options.rounds):
                    raw.scale.append(_say("scale_2_workers", await rounds.scale(stand)))
            if "memory" in options.only:
                for _ in range(options.rounds):
                    raw.memory.append(_say("memory", await rounds.memory(stand, options.tickets // _FEWER)))
            if options.soak:
                raw.soak = _say("soak", await rounds.soak(stand, options.soak))
            if options.profile is not None:
                await profile(stand, options.tickets, options.profile)
    raw.load_average.append(os.getloadavg()[0])
    return report(raw, options.tickets, options.rounds)


async def _round(raw: Raw, stand: Stand, arms: list[Arm], options: Options) -> None:
    for arm in arms:
        if "throughput" in options.only:
            figures = await rounds.throughput(stand, arm, options.tickets)
            raw.throughput.setdefault(arm.name, []).append(_say(f"{arm.name} throughput", figures))
        if arm not in _TIMED:
            continue
        if "share" in options.only:
            share = await rounds.share_of_limit(stand, arm)
            raw.share.setdefault(arm.name, []).append(_say(f"{arm.name} share of the latency limit", share))
        rate = raw.median(arm.name, "tickets_per_second")
        if "overhead" not in options.only or rate is None:
            continue
        paced = [(arm.name, arm, rate / 2)]
        if arm is OURS:
            # Beside it: at half of what the slow model allows, with nearly nothing to do, and what the broker alone takes.
            paced += [
                ("ours_half_limit", OURS, rounds.LATENCY_LIMIT / 2),
                ("ours_quiet", OURS, _QUIET_PER_SECOND),
                ("bare", BARE, rate / 2),
            ]
        for name, each, per_second in paced:
            beyond = await rounds.overhead(stand, each, per_second)
            raw.overhead.setdefault(name, []).append(_say(f"{name} overhead", beyond))


def _say(what: str, value: Any) -> Any:
    print(f"{what}: {json.dumps(value)}", file=sys.stderr, flush=True)
    return value


def main() -> None:
    """Measure, print, and write the report if one is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--soak", type=int, default=0, metavar="MESSAGES")
    parser.add_argument("--warm-up", type=float, default=45.0, metavar="SECONDS", help="of the broker (default: 45)")
    parser.add_argument("--quixstreams-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--profile", type=Path, metavar="FOLDER")
    parser.add_argument("--report", type=Path)
    parsed = vars(parser.parse_args())
    if folder := parsed["profile"]:
        folder.mkdir(parents=True, exist_ok=True)
        parsed["profile"] = folder.resolve()
    path: Path | None = parsed.pop("report")
    configure_logging(level="error", libraries=50)
    figures = uvloop.run(run(Options(**parsed)))
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    del figures["raw"]
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

"""Fuzz: throw generated and mutated messages at every parser and at every agent, and account for each.

``python -m benchmarks.fuzz --messages N --seed S --report FILE``. First N answers of models with thoughts around them, cut and
respelled, whose numbers are known; then N messages for every topic's parser; then the stages, N messages on every topic that
an agent reads, with all agents at work on the embedded broker and the sandbox's models. ``--topics`` takes some of the topics,
``--only`` one of the three parts.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.fuzz.answers import run as read_answers
from benchmarks.fuzz.parsers import read
from benchmarks.fuzz.stages import READERS, throw
from schemas import TOPICS
from streams.observability.logs import configure_logging
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import TRAIN

#: Handlers that only compute see this many valid messages of each topic in the pure part; the stages see all.
_HANDLED = 20_000
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for on the command line."""

    messages: int
    seed: int
    topics: tuple[str, ...]
    only: str | None


def parse_all(options: Options) -> dict[str, Any]:
    """Run the pure part and return its rows by topic."""
    rows: dict[str, Any] = {}
    for topic in options.topics:
        began = time.perf_counter()
        found = read(topic, options.messages, options.seed, handle=_HANDLED)
        rows[topic] = {
            "messages": found.messages,
            "valid": found.valid,
            "refused": dict(sorted(found.letters.items())),
            "faults": len(found.faults),
            "first_faults": found.faults[:_SHOWN],
            "seconds": round(time.perf_counter() - began, 1),
        }
        _print(f"parser {topic}", rows[topic])
    return rows


def score_all(options: Options) -> dict[str, Any]:
    """Score answers whose numbers are known and return how they ended."""
    began = time.perf_counter()
    ended, faults = read_answers(options.messages, options.seed)
    row = {
        "answers": options.messages,
        "ended": dict(sorted(ended.items())),
        "faults": len(faults),
        "first_faults": faults[:_SHOWN],
        "seconds": round(time.perf_counter() - began, 1),
    }
    _print("answers", row)
    return row


async def throw_all(options: Options) -> dict[str, Any]:
    """Run the stages and return their rows by topic and agent."""
    topics = [topic for topic in options.topics if topic in READERS]
    with tempfile.TemporaryDirectory(prefix="hedgerow-fuzz-") as folder:
        async with ModelServer(TRAIN, seed=options.seed, latency_ms=0.0) as models:
            thrown = await throw(topics, options.messages, options.seed, models, Path(folder))
    rows = {}
    for name, ended in thrown.ended.items():
        rows[name] = {
            "messages": ended.sent,
            "results": ended.results,
            "finished_without_output": ended.silent,
            "dead_letters": dict(sorted(ended.letters.items())),
            "lost": len(ended.lost),
            "wrong_letters": len(ended.wrong),
            "uncommitted": thrown.uncommitted.get(name, {}),
            "first_faults": [*ended.lost, *ended.wrong][:_SHOWN],
        }
        _print(f"stage {name}", rows[name])
    return {"agents": rows, "worker_died": thrown.worker_died, "seconds": round(thrown.seconds, 1)}


def _print(name: str, row: dict[str, Any]) -> None:
    print(name, json.dumps(row), file=sys.stderr, flush=True)


def bad(report: dict[str, Any]) -> list[str]:
    """Return what shows a fault: an exception, a loss, a defect of a handler, a dead worker."""
    stages = report.get("stages", {"agents": {}, "worker_died": None})
    found = ["answers"] if report.get("answers", {"faults": 0})["faults"] else []
    found += [f"parser {name}" for name, row in report.get("parsers", {}).items() if row["faults"]]
    for name, row in stages["agents"].items():
        defects = row["dead_letters"].get("handler_defect", 0)
        if row["lost"] or row["wrong_letters"] or row["uncommitted"] or defects:
            found.append(f"stage {name}")
    return found + (["worker"] if stages["worker_died"] else [])


def main() -> None:
    """Run, print, write the report; exit 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--topics", default=",".join(TOPICS), help="comma separated; all unless told otherwise")
    parser.add_argument("--only", choices=("answers", "parsers", "stages"))
    parser.add_argument("--report", type=Path)
    parsed = vars(parser.parse_args())
    report: Path | None = parsed.pop("report")
    options = Options(**parsed | {"topics": tuple(parsed["topics"].split(","))})
    if unknown := [topic for topic in options.topics if topic not in TOPICS]:
        parser.error(f"no topic {unknown[0]!r}: there are {', '.join(TOPICS)}")
    configure_logging(level="error", libraries=50)
    # faust leaves waits of its own behind when an app stops in a loop that goes on.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    figures: dict[str, Any] = {"messages": options.messages, "seed": options.seed}
    if options.only in (None, "answers"):
        figures["answers"] = score_all(options)
    if options.only in (None, "parsers"):
        figures["parsers"] = parse_all(options)
    if options.only in (None, "stages"):
        figures["stages"] = uvloop.run(throw_all(options))
    print(json.dumps(figures, indent=1))
    if report:
        report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if bad(figures) else 0)


if __name__ == "__main__":
    main()

"""The benchmark of the four stages, at a small setting: every arm ends every ticket, and in the same way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.pipeline.__main__ import Options, run
from benchmarks.pipeline.arms import BARE
from benchmarks.pipeline.rounds import overhead
from benchmarks.pipeline.stand import standing
from streams.sandbox.brokers.kafka_jars import QUICK_START
from tests.support.brokers import require_kafka

TICKETS = 444


@pytest.mark.kafka
async def test_all_arms_do_the_same_work() -> None:
    require_kafka()
    options = Options(TICKETS, rounds=1, only=("throughput",), quixstreams_python=sys.executable, jvm_flags=QUICK_START)
    figures = await run(options)

    rounds = figures["raw"]["throughput"]
    assert {"ours", "by_hand"} <= rounds.keys() <= {"ours", "by_hand", "quixstreams"}
    ways = [round_["routes"] for measured in rounds.values() for round_ in measured]
    assert all(way == ways[0] for way in ways), "the same messages get the same decision"
    assert ways[0].keys() == {"cheap", "big", "reviews"}
    assert sum(ways[0].values()) == TICKETS
    assert all(round_["repeated"] == 0 for measured in rounds.values() for round_ in measured)
    assert figures["tickets_per_second"] > 0
    assert figures["tickets_per_cpu_second"] > 0
    assert figures["ratio_vs_handwritten"] > 0
    assert figures["p99_overhead_ms"] is None, "what was not measured is named so"


@pytest.mark.kafka
async def test_what_the_broker_alone_takes(tmp_path: Path) -> None:
    require_kafka()
    async with standing(tmp_path, QUICK_START) as stand:
        figures = await overhead(stand, BARE, 50.0, seconds=1.0)
    assert 0 < figures["p50_ms"] < 5_000, "every ticket has come out at the other end"

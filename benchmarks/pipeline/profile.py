"""Where a worker's CPU time goes, by module: py-spy during one throughput round, if it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.pipeline.arms import OURS, Arm
from benchmarks.pipeline.rounds import LIMIT_IN_FLIGHT, MODEL_MS
from benchmarks.pipeline.stand import Stand
from benchmarks.pipeline.tickets import tickets
from streams.sandbox.process import ChildProcess

#: The parts of the program, by what a frame's file name holds; the first that fits counts.
PARTS = {
    "schemas": ("schemas/",),
    "streams.delivery": ("streams/delivery/", "streams/kafka/"),
    "streams.models": ("streams/models/",),
    "streams.core": ("streams/core/",),
    "streams.agents": ("streams/agents/",),
    "streams.observability": ("streams/observability/",),
    "benchmarks": ("benchmarks/",),
    "aiokafka": ("aiokafka/",),
    "faust and mode": ("faust/", "mode/"),
    "httpx and httpcore": ("httpx/", "httpx_aiohttp/", "httpcore/"),
    "aiohttp and yarl": ("aiohttp/", "yarl/", "multidict/"),
    "stamina and tenacity": ("stamina/", "tenacity/"),
    "sqlalchemy": ("sqlalchemy/",),
    "prometheus": ("prometheus_client/",),
    "asyncio": ("asyncio/", "uvloop"),
}


def shares(stacks: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return the share of CPU samples of each part: "self" if its own frame is innermost, "through" if any is.

    ``stacks`` are py-spy's raw lines: frames from the outermost, separated by semicolons, and a count.
    """
    alone: Counter[str] = Counter()
    through: Counter[str] = Counter()
    total = 0
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        parts = [_part(frame) for frame in frames.split(";")]
        total += int(count)
        alone[parts[-1]] += int(count)
        for part in set(parts):
            through[part] += int(count)
    return {
        part: {"self": round(alone[part] / total, 3), "through": round(seen / total, 3)}
        for part, seen in through.most_common()
    }


def _part(frame: str) -> str:
    return next((part for part, marks in PARTS.items() if any(mark in frame for mark in marks)), "other")


async def profile(stand: Stand, count: int, folder: Path, arm: Arm = OURS) -> None:
    """Write the raw stacks of a throughput round into the folder, and print the shares."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        raise SystemExit("--profile needs py-spy: pip install py-spy")
    stacks = folder / f"{arm.name}.txt"
    async with stand.running(arm, latency_ms=MODEL_MS, in_flight=LIMIT_IN_FLIGHT) as running:
        pid = str(running.processes[0].pid)
        command = [spy, "record", "--pid", pid, "--format", "raw", "--full-filenames", "--gil", "-r", "200"]
        recorder = ChildProcess([*command, "-d", "600", "-o", str(stacks)])
        await running.send_all(tickets(count))
        await running.finished(count)
        os.kill(recorder.pid, signal.SIGINT)  # py-spy writes what it has when it is interrupted
        await recorder.wait(20.0)
        await recorder.kill()
    print(f"{'part':<22}{'self':>8}{'through':>9}")
    for part, share in shares(stacks.read_text(encoding="utf-8").splitlines()).items():
        print(f"{part:<22}{share['self']:>8.1%}{share['through']:>9.1%}")

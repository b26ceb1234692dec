"""What is measured on a stand, one function a question; times are in seconds unless a name says otherwise."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.pipeline.arms import OURS, OURS_WITH_MEMORY, SCORE_ALONE, Arm
from benchmarks.pipeline.hops import hops, moments, percentiles
from benchmarks.pipeline.stand import Stand
from benchmarks.pipeline.tickets import tickets
from benchmarks.stage import classification

#: How fast the model answers when it is not to be the bound.
MODEL_MS = 20.0
LIMIT_IN_FLIGHT = 256
LIMIT_MS = 500.0
#: Tickets a second: 256 in flight at 500 ms.
LATENCY_LIMIT = LIMIT_IN_FLIGHT * 1000 / LIMIT_MS
#: So many waves of calls: the longer the run, the less its ragged end counts.
LIMIT_WAVES = 40
_SCALE_IN_FLIGHT = 96
_WARM_UP_PER_SECOND = 400.0
_SOAK_CHUNK = 20_000
_SOAK_PATIENCE_S = 60.0


async def warm_up(stand: Stand, seconds: float) -> None:
    """Let the broker run for a while: until its code is compiled, it costs twice as much, and every arm is slower."""
    if seconds > 0:
        await overhead(stand, OURS, _WARM_UP_PER_SECOND, seconds)


async def throughput(stand: Stand, arm: Arm, count: int) -> dict[str, Any]:
    """Send all tickets at once; from the first one's sending to the last outcome, with the reviews stored."""
    async with stand.running(arm, latency_ms=MODEL_MS, in_flight=LIMIT_IN_FLIGHT) as running:
        rss, cpu, broker, began = running.rss_mb, running.cpu_seconds, stand.broker_cpu_seconds, time.time()
        await running.send_all(tickets(count))
        seconds = await running.finished(count) - began
        cpu = running.cpu_seconds - cpu
        return {
            "tickets_per_second": count / seconds,
            "tickets_per_cpu_second": count / cpu,
            "tickets_per_broker_cpu_second": count / (stand.broker_cpu_seconds - broker),
            "rss_mb_start": rss,
            "rss_mb_end": running.rss_mb,
            "routes": dict(sorted(running.outcomes.routes.items())),
            "repeated": running.outcomes.repeated,
        }


async def latency_bound(
    stand: Stand, arm: Arm, *, workers: int, in_flight: int, waves: int, apart: bool = True
) -> float:
    """Return tickets a second against a slow model: from the first one's sending to the last result by the cheap tier.

    The workers' limits on calls in flight allow all of them in ``waves`` times the model's latency.
    """
    count = waves * in_flight * workers
    async with stand.running(arm, workers=workers, latency_ms=LIMIT_MS, in_flight=in_flight, apart=apart) as running:
        began = time.time()
        await running.send_all(tickets(count))
        await running.finished(count)
        last = max(outcome.at for outcome in running.outcomes.tickets.values() if outcome.route == "cheap")
        return count / (last - began)


async def share_of_limit(stand: Stand, arm: Arm) -> float:
    """Return the share of what the model's latency allows: 256 in flight at 500 ms are 512 tickets a second."""
    reached = await latency_bound(stand, arm, workers=1, in_flight=LIMIT_IN_FLIGHT, waves=LIMIT_WAVES)
    return reached / LATENCY_LIMIT


async def scale(stand: Stand, waves: int = LIMIT_WAVES) -> float:
    """Return how much faster two workers are than one, when the model's latency is the bound."""
    one, two = [
        await latency_bound(stand, OURS, workers=workers, in_flight=_SCALE_IN_FLIGHT, waves=waves, apart=False)
        for workers in (1, 2)
    ]
    return two / one


async def overhead(stand: Stand, arm: Arm, per_second: float, seconds: float = 8.0) -> dict[str, Any]:
    """Send at an even rate; return the time from sending to outcome beyond the model's own, milliseconds."""
    count = int(per_second * seconds)
    async with stand.running(arm, latency_ms=MODEL_MS, in_flight=LIMIT_IN_FLIGHT) as running:
        settle = tickets(int(per_second), "settle")  # a second to find its pace
        await running.pace(settle, per_second)
        cpu, broker, began = running.cpu_seconds, stand.broker_cpu_seconds, time.time()
        await running.pace(tickets(count), per_second)
        await running.finished(count + len(settle))
        wall = time.time() - began
        busy = {
            "cores_used": (running.cpu_seconds - cpu) / wall,
            "broker_cores_used": (stand.broker_cpu_seconds - broker) / wall,
        }
        for ticket in settle:
            del running.outcomes.tickets[ticket.ticket_id]
        beyond = [
            (outcome.at - running.sent[ticket]) * 1000 - outcome.calls * MODEL_MS
            for ticket, outcome in running.outcomes.tickets.items()
        ]
        between = {}
        if arm.has_stages:
            between = hops(await moments(stand.connection, running.prefix), running.outcomes.tickets, MODEL_MS)
    return {"per_second": per_second, **percentiles(beyond), **busy, "hops": between}


async def memory(stand: Stand, count: int) -> dict[str, Any]:
    """Return what a memory adds: to the CPU of a ticket, beside one embedding, and to its time at half of the load.

    The load is half of what a worker with a memory takes, for both.
    """
    without, remembering = [await throughput(stand, arm, count) for arm in (OURS, OURS_WITH_MEMORY)]
    embedding_ms = await stand.embedding_ms()
    cpu_ms = {name: 1000 / row["tickets_per_cpu_second"] for name, row in (("without", without), ("with", remembering))}
    half = remembering["tickets_per_second"] / 2
    paced = [await overhead(stand, arm, half) for arm in (OURS, OURS_WITH_MEMORY)]
    return {
        "cpu_ms_without": cpu_ms["without"],
        "cpu_ms_with": cpu_ms["with"],
        "embedding_cpu_ms": embedding_ms,
        "cpu_ratio": cpu_ms["with"] / (cpu_ms["without"] + embedding_ms),
        "tickets_per_second": remembering["tickets_per_second"],
        "half_load_per_second": half,
        "p50_without_ms": paced[0]["p50_ms"],
        "p50_with_ms": paced[1]["p50_ms"],
        "p50_added_ms": paced[1]["p50_ms"] - paced[0]["p50_ms"],
        "p99_added_ms": paced[1]["p99_ms"] - paced[0]["p99_ms"],
    }


async def soak(stand: Stand, count: int) -> dict[str, Any]:
    """Run the score stage alone over many messages; its memory is read after a fifth of them, and at the end."""
    begun = None
    async with stand.running(SCORE_ALONE, warm=False) as running:
        began = time.perf_counter()
        for first in range(0, count, _SOAK_CHUNK):
            last = min(count, first + _SOAK_CHUNK)
            await running.send_all([classification(number) for number in range(first, last)])
            running.sent.clear()
            await running.outcomes.until(last - len(range(0, last, 4)), _SOAK_PATIENCE_S)  # a quarter is escalated
            if begun is None and last >= count / 5:
                begun = running.rss_mb
        return {
            "messages": count,
            "rss_mb_start": begun,
            "rss_mb_end": running.rss_mb,
            "seconds": time.perf_counter() - began,
        }

"""Measures the queue of reviews: on call sees when it grows, and workers hear of it when there are too many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from streams.errors import HedgerowError
from streams.reviews.store import Counts, Hour, ReviewStore

log = structlog.get_logger(__name__)

INTERVAL_S = 15.0
#: If there are limits: what other workers let through in between may go beyond them.
LIMITED_INTERVAL_S = 2.0
#: If a limit may have been reached in between.
SHORTEST_INTERVAL_S = 0.5
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Queue:
    """What was seen of the queue: counts, the age of the oldest waiting review (seconds), and the last hour."""

    counts: Counts
    oldest_s: float
    hour: Hour


async def watch_queue(
    store: ReviewStore,
    show: Callable[[Queue], None],
    *,
    counting: Callable[[], None] = lambda: None,
    interval_s: float = INTERVAL_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> None:
    """Call ``show`` with the queue every ``interval_s`` seconds, and ``counting`` before each count.

    A store that cannot be read leaves what was shown last; one line in the log says so.
    """
    readable = True
    while True:
        counting()
        try:
            counts = await asyncio.to_thread(store.counts)
            hour = await asyncio.to_thread(store.hour, wall_ms() - _HOUR_MS)
        except HedgerowError as error:
            if readable:
                log.warning("the queue of reviews cannot be counted", problem=str(error))
            readable = False
        else:
            readable = True
            oldest_ms = wall_ms() if counts.oldest_ms is None else counts.oldest_ms
            show(Queue(counts, max(0.0, (wall_ms() - oldest_ms) / 1000), hour))
        await sleep(interval_s)

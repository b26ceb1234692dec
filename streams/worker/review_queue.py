"""Measures the queue of reviews, so that on call sees when it grows or a ticket is forgotten in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from streams.errors import HedgerowError
from streams.reviews.store import Counts, ReviewStore

log = structlog.get_logger(__name__)

INTERVAL_S = 15.0


async def watch_queue(
    store: ReviewStore,
    show: Callable[[Counts, float], None],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> None:
    """Call ``show`` every ``INTERVAL_S`` seconds with the counts and the age of the oldest waiting review (seconds).

    A store that cannot be read leaves what was shown last; one line in the log says so.
    """
    readable = True
    while True:
        try:
            counts = await asyncio.to_thread(store.counts)
        except HedgerowError as error:
            if readable:
                log.warning("the queue of reviews cannot be counted", problem=str(error))
            readable = False
        else:
            readable = True
            oldest_ms = wall_ms() if counts.oldest_ms is None else counts.oldest_ms
            show(counts, max(0.0, (wall_ms() - oldest_ms) / 1000))
        await sleep(INTERVAL_S)

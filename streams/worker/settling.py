"""What goes on beside the agent settle: its memory is read again, and reviews are closed that a later result has overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import structlog

from schemas import InvalidMessage, Routed
from streams.agents.settle import Forgotten, History
from streams.delivery.stage import Record
from streams.errors import HedgerowError
from streams.kafka.connection import Connection
from streams.kafka.history import history
from streams.reviews.store import ReviewStore

log = structlog.get_logger(__name__)

INTERVAL_S = 15.0


def results_before(connection: Connection) -> History:
    """Return what reads the results before some offsets."""

    async def results(before: Mapping[tuple[str, int], int], limit: int) -> AsyncIterator[Routed | Forgotten]:
        async for record in history(connection, before, limit):
            try:
                yield result_in(record)
            except InvalidMessage:
                continue  # a dead letter

    return results


def result_in(record: Record) -> Routed | Forgotten:
    """Return what a record of ``routed`` says; raises InvalidMessage if that is nothing."""
    if record.value is None and record.key:
        return Forgotten(record.key.decode("utf-8", "replace"))
    return Routed.decode(record.value)


async def close_superseded(
    store: ReviewStore,
    turn_of: Callable[[str], tuple[int, int] | None],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Close, every ``INTERVAL_S`` seconds, the waiting reviews whose ticket has a result of a later text or run.

    Again and again, because a review may be stored after the result that overtook it. A store that cannot be used is tried
    at the next time; one line in the log says so.
    """
    usable = True
    while True:
        await sleep(INTERVAL_S)
        try:
            closed = await asyncio.to_thread(store.close_superseded, turn_of)
        except HedgerowError as error:
            if usable:
                log.warning("superseded reviews cannot be closed", problem=str(error))
            usable = False
        else:
            usable = True
            if closed:
                log.info("reviews closed: their tickets have later results", reviews=closed)

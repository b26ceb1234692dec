"""Where the time of a paced round went: from one topic to the next, by the moments at which the broker got the messages."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

import orjson

from benchmarks.pipeline.outcomes import ticket_of
from streams.kafka.connection import Connection
from streams.kafka.readers import reader, to_the_end

#: When the broker got a ticket's message on each topic, milliseconds.
Moments = Mapping[str, Mapping[str, int]]
_TOPICS = ("tickets", "classifications", "escalations", "routed", "reviews")


async def moments(connection: Connection, prefix: str) -> Moments:
    """Return when each ticket's first message was there on each topic, by the broker's clock."""
    found: dict[str, dict[str, int]] = {topic: {} for topic in _TOPICS}
    async with reader(_TOPICS, connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            ticket = ticket_of(orjson.loads(record.value))
            found[record.topic.removeprefix(prefix)].setdefault(ticket, record.timestamp)
    return found


def hops(sent: Moments, tickets: Iterable[str], model_ms: float) -> dict[str, dict[str, float]]:
    """Return the median and the 99th percentile of each hop of these tickets, less the model's own time."""
    ends = {**sent["routed"], **sent["reviews"]}
    waits: dict[str, list[float]] = {"classify": [], "score": [], "escalate": []}
    for ticket in tickets:
        begun, classified = sent["tickets"][ticket], sent["classifications"].get(ticket)
        escalated = sent["escalations"].get(ticket)
        if classified is not None:
            waits["classify"].append(classified - begun - model_ms)
            waits["score"].append((escalated or ends[ticket]) - classified)
        if escalated is not None:
            waits["escalate"].append(ends[ticket] - escalated - model_ms)
    return {name: percentiles(wait) for name, wait in waits.items() if len(wait) > 1}


def percentiles(waits_ms: Sequence[float]) -> dict[str, float]:
    """Return the median and the 99th percentile of at least two waits."""
    cuts = statistics.quantiles(waits_ms, n=100, method="inclusive")
    return {"p50_ms": statistics.median(waits_ms), "p99_ms": cuts[98]}

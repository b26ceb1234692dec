"""Consumes routed labels with plain aiokafka: each result once, and again when another one counts.

python consume_routed.py BOOTSTRAP [TOPIC]
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer

Rank = tuple[int, int, bool, int]
NOTHING: Rank = (-1, 0, False, 0)


def rank(result: dict[str, Any]) -> Rank:
    """Of two results of a ticket the higher one counts: a later text, a later re-run, a reviewer over a model."""
    human = result["decided_by"] == "human"
    return result.get("revision", 0), result.get("run", 0), human, result.get("decision", 0)


async def main(bootstrap: str, topic: str = "routed") -> None:
    """Print ticket, label and who decided, until the process is ended."""
    best: dict[str, Rank] = {}  # a real consumer keeps these with what it does: the same result may come twice
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="my-service",
        auto_offset_reset="earliest",
        isolation_level="read_committed",  # results of an aborted transaction are never seen
    ) as consumer:
        async for record in consumer:
            if record.value is None:  # hedgerow forget: delete what you keep of this ticket, too
                print(record.key.decode(), "is forgotten", flush=True)
                continue
            result = json.loads(record.value)
            place = rank(result)
            if place > best.get(result["result_id"], NOTHING):
                best[result["result_id"]] = place
                print(result["ticket_id"], result["label"], result["decided_by"], flush=True)


asyncio.run(main(*sys.argv[1:]))

"""Consumes routed labels with plain aiokafka, each result once.

python consume_routed.py BOOTSTRAP [TOPIC]
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer


async def main(bootstrap: str, topic: str = "routed") -> None:
    """Print ticket, label and who decided, until the process is ended."""
    seen: set[str] = set()  # a real consumer keeps these with what it does: the same result may come twice
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="my-service",
        auto_offset_reset="earliest",
        isolation_level="read_committed",  # results of an aborted transaction are never seen
    ) as consumer:
        async for record in consumer:
            result = json.loads(record.value)
            if result["result_id"] not in seen:
                seen.add(result["result_id"])
                print(result["ticket_id"], result["label"], result["decided_by"], flush=True)


asyncio.run(main(*sys.argv[1:]))

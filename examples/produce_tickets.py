"""Sends tickets to Hedgerow with plain aiokafka: one JSON object a line on standard input, keyed by ticket_id.

python produce_tickets.py BOOTSTRAP [TOPIC] < tickets.jsonl
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiokafka import AIOKafkaProducer


async def main(bootstrap: str, topic: str = "tickets") -> None:
    """Send every line and wait until the broker has it."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for line in sys.stdin:
            ticket = json.loads(line)  # {"ticket_id", "text", "metadata"?}
            await producer.send_and_wait(topic, line.strip().encode(), key=ticket["ticket_id"].encode())


asyncio.run(main(*sys.argv[1:]))

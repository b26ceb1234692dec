"""A worker to be killed: one ticket is slow, and every ticket that is handled is written down.

``python -m tests.chaos.slow_worker BOOTSTRAP PREFIX SLOW_ID SECONDS FILE [DELIVERY [SECONDS_OF_THE_OTHERS]]``
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas import TOPICS, Ticket, Verdict
from streams.delivery.service import StageService
from streams.delivery.stage import Delivery, Stage
from streams.errors import StopWorker
from streams.kafka.connection import Connection


async def main(
    bootstrap: str,
    prefix: str,
    slow: str,
    seconds: str,
    file: str,
    delivery: Delivery = "at_least_once",
    others: str = "0",
) -> None:
    with Path(file).open("a", buffering=1) as handled:

        async def handle(ticket: Ticket) -> Sequence[Verdict]:
            handled.write(f"{ticket.ticket_id}\n")
            await asyncio.sleep(float(seconds if ticket.ticket_id == slow else others))
            return [
                Verdict(verdict_id="v", review_id="r", ticket_id=ticket.ticket_id, label="l", decided_by="x", at_ms=0)
            ]

        def failed(error: StopWorker) -> None:
            sys.exit(str(error))

        connection = Connection(
            bootstrap, session_timeout_s=3.0, heartbeat_s=0.3, rebalance_timeout_s=6.0, commit_interval_s=0.1
        )
        stage = Stage("classify", TOPICS["tickets"], handle, in_flight=128 if others == "0" else 8)
        service = StageService(stage, connection, prefix=prefix, failed=failed, delivery=delivery)
        await service.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))  # type: ignore[arg-type]

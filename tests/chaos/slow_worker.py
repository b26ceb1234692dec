"""A worker to be killed: one ticket is slow, and every ticket that is handled is written down.

``python -m tests.chaos.slow_worker BOOTSTRAP PREFIX SLOW_ID SECONDS FILE``
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas import TOPICS, Ticket, Verdict
from streams.delivery.service import Connection, StageService
from streams.delivery.stage import Stage
from streams.errors import StopWorker


async def main(bootstrap: str, prefix: str, slow: str, seconds: str, file: str) -> None:
    with Path(file).open("a", buffering=1) as handled:

        async def handle(ticket: Ticket) -> Sequence[Verdict]:
            handled.write(f"{ticket.ticket_id}\n")
            if ticket.ticket_id == slow:
                await asyncio.sleep(float(seconds))
            return [
                Verdict(verdict_id="v", review_id="r", ticket_id=ticket.ticket_id, label="l", decided_by="x", at_ms=0)
            ]

        def failed(error: StopWorker) -> None:
            sys.exit(str(error))

        connection = Connection(
            bootstrap, session_timeout_s=3.0, heartbeat_s=0.3, rebalance_timeout_s=6.0, commit_interval_s=0.1
        )
        service = StageService(Stage("classify", TOPICS["tickets"], handle), connection, prefix=prefix, failed=failed)
        await service.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

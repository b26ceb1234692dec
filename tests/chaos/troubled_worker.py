"""A worker process with one thing wrong in it: ``python -m tests.chaos.troubled_worker CONFIG TROUBLE AGENTS``.

Its limits are shorter than the settings would take, so that a test need not wait for minutes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas import Message, Ticket
from streams.agents.registry import AgentName
from streams.delivery.faust_transport import Consumer
from streams.errors import StopWorker
from streams.observability.logs import configure_logging
from streams.settings import load_settings
from streams.worker import hard_stop
from streams.worker import worker as worker_module
from streams.worker.process import run_worker

LIMIT_S = 3.0


async def never_drains(self: Consumer, fetcher: Any) -> None:
    await asyncio.Event().wait()


async def hangs(ticket: Ticket) -> Sequence[Message]:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


async def waits(ticket: Ticket) -> Sequence[Message]:
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits so long")


async def blocks(ticket: Ticket) -> Sequence[Message]:
    time.sleep(3600)  # noqa: ASYNC251 - that is the trouble
    raise AssertionError("nobody waits so long")


def main(config: str, trouble: str, *agents: AgentName) -> None:
    configure_logging(libraries=50)
    settings = load_settings(Path(config))
    worker = settings.worker.model_copy(update={"stop_wait_s": 1.0, "revoke_wait_s": 0.1})
    if trouble != "waits":
        worker = worker.model_copy(update={"stall_limit_s": LIMIT_S})
        hard_stop.STOP_MARGIN_S = 2.0
    if trouble == "never_drains":
        Consumer._drain_messages = never_drains
    elif trouble != "outage":  # which is none of the worker's
        handler = {"hangs": hangs, "waits": waits, "blocks": blocks}[trouble]
        worker_module.ClassifyHandler = lambda *_args, **_kwargs: handler  # type: ignore[misc, assignment]
    try:
        asyncio.run(run_worker(settings.model_copy(update={"worker": worker}), agents))
    except StopWorker as error:
        print(f"hedgerow: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *sys.argv[3:])  # type: ignore[arg-type]

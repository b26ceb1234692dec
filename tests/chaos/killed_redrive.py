"""A command line that kills its process: before it sends or commits for the nth time (``argv[1]``), or as it ends."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.cli.main import main
from streams.kafka import redrive

_left = int(sys.argv.pop(1))


def _counted(call: Any) -> Any:
    async def counted(*arguments: Any, **options: Any) -> Any:
        _die_in_time()
        return await call(*arguments, **options)

    return counted


def _die_in_time() -> None:
    global _left  # noqa: PLW0603 - one process, one count
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    _left -= 1


if __name__ == "__main__":
    for name in ("send_and_wait", "commit_transaction"):
        setattr(AIOKafkaProducer, name, _counted(getattr(AIOKafkaProducer, name)))
    redrive.stop_producer = _counted(redrive.stop_producer)
    main()

"""A command line that kills its process: before it sends or commits for the nth time (``argv[1]``), or as it ends."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.cli.main import main
from streams.kafka import example_book, redrive
from streams.memory import loading, open_memory
from tests.support.memories import open_letters

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
    for module in (redrive, example_book):
        module.stop_producer = _counted(module.stop_producer)  # type: ignore[attr-defined]
    loading._CHUNK = 2
    open_memory.open_embedder = open_letters
    main()

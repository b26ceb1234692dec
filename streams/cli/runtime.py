"""What commands run with: uvloop if there is one, a line of the log at the end for those that have one, and the time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from streams.errors import StopWorker

Result = TypeVar("Result")


def now_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end and return the result. A command without a log prints errors only, and none of its libraries' lines."""
    from streams.observability.logs import configure_logging, is_configured

    if not is_configured():
        configure_logging(level="error", libraries=logging.CRITICAL)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def run_logged(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end. If nothing can succeed any more, log the line that says why and exit with 2."""
    import structlog

    try:
        run(main)
    except StopWorker as error:
        structlog.get_logger(__name__).error(str(error))
        raise typer.Exit(2) from None

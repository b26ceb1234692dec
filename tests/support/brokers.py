"""The brokers that tests run on, and when a test may be skipped for want of one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from streams.sandbox.brokers.kafka_jars import missing_tools

Result = TypeVar("Result")


def require_kafka() -> None:
    """Skip the calling test where Apache Kafka cannot run, saying why; with CI=true fail it instead."""
    reason = missing_tools()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


def run_apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in an event loop and a thread of its own, leaving the test's event loop alone; return its result."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()

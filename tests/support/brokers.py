"""The brokers that tests run on, and when a test may be skipped for want of one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.sandbox.brokers.kafka_jars import missing_tools


def require_kafka() -> None:
    """Skip the calling test where Apache Kafka cannot run, saying why; with CI=true fail it instead."""
    reason = missing_tools()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


def run_apart(work: Coroutine[object, object, None]) -> None:
    """Run a coroutine to its end in an event loop and a thread of its own, leaving the test's event loop alone."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()

"""The thread that ends a process: with ticks of milliseconds, and an end that is only written down."""

from __future__ import annotations

import asyncio
import queue
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streams.worker.hard_stop import HardStop

TICK_S = 0.002
PATIENCE_S = 30.0


class Ended:
    """A hard stop on the test's own thread, and what it said at the end."""

    def __init__(self, still_s: float) -> None:
        self.said: queue.Queue[str] = queue.Queue()
        self.hard_stop = HardStop(still_s, self.said.put, TICK_S)
        self.hard_stop.start()

    def line(self) -> str:
        return self.said.get(timeout=PATIENCE_S)


@pytest.fixture
def patient() -> Iterator[Ended]:
    ended = Ended(still_s=3_600)
    yield ended
    ended.hard_stop.disarm()


def test_a_loop_that_never_turns_is_ended_with_the_line_where_it_stands() -> None:
    line = Ended(still_s=10 * TICK_S).line()
    assert line.startswith("the event loop has stalled for 0.02 s; ended in ")
    assert len(line.splitlines()) == 1


async def test_a_loop_that_turns_is_not_ended() -> None:
    ended = Ended(still_s=1.0)  # five hundred ticks
    beating = asyncio.create_task(ended.hard_stop.beat())
    while ended.hard_stop._beats < 600:
        await asyncio.sleep(TICK_S / 2)
    ended.hard_stop.disarm()
    beating.cancel()
    assert ended.said.empty()


def test_a_stop_that_takes_too_long_is_ended_and_the_first_call_counts(patient: Ended) -> None:
    patient.hard_stop.within(10 * TICK_S)
    patient.hard_stop.within(3_600)
    assert patient.line().startswith("not stopped within 0.02 s; ended in ")


def test_ends_the_process_with_status_1_and_one_line() -> None:
    script = "import time; from streams.worker.hard_stop import HardStop; HardStop(0.05, tick_s=0.01).start(); time.sleep(3600)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 1
    assert re.match(r"[\d-]+T[\d:.]+Z hedgerow: the event loop has stalled", done.stderr)
    assert len(done.stderr.splitlines()) == 1

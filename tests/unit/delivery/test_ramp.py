"""After a pause work begins in steps, not all at once."""

from __future__ import annotations

import time

import pytest

from streams.delivery.ramp import Ramp
from tests.support.records import Bench, Held, loop_turns, records


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def begun_by(ramp: Ramp, clock: Seconds, until_s: float) -> int:
    """Take places as fast as they are handed out, and return how many there were up to a moment."""
    count = 0
    while True:
        pause_s = ramp.take()
        count += not pause_s
        if clock.now + pause_s >= until_s:
            return count
        clock.now += pause_s


def test_each_second_lets_more_begin_until_there_is_no_bound() -> None:
    clock = Seconds()
    ramp = Ramp(10, 35, clock)
    counts = [begun_by(ramp, clock, second) for second in (1.0, 2.0, 3.0)]
    assert counts == pytest.approx([10, 20, 30], abs=2)
    clock.now = 2.9
    assert not ramp.is_over
    clock.now = 3.0
    assert ramp.is_over


async def test_a_backlog_goes_out_in_steps_after_a_pause() -> None:
    held = Held()
    bench = Bench(held, more={"resume_per_s": 50.0})
    runner = bench.runner
    runner.pause(True)
    assert not runner.has_room
    began = time.monotonic()
    runner.pause(False)
    await bench.feed(records(range(4)))
    await loop_turns()
    assert len(held.begun) == 1
    await held.wait_begun(4)
    assert time.monotonic() - began >= 2 / 50
    held.release_all()
    await runner.wait_idle(10)
    assert bench.ledger.unfinished == 0


async def test_without_a_pause_all_begin_at_once() -> None:
    held = Held()
    bench = Bench(held, more={"resume_per_s": 1.0})
    await bench.feed(records(range(4)))
    await loop_turns()
    assert len(held.begun) == 4
    held.release_all()
    await bench.runner.wait_idle(10)

"""The gate: its transitions, and those who wait for it."""

from __future__ import annotations

import asyncio

import pytest

from streams.aio import Changes
from streams.delivery.gate import Gate, GateState
from tests.support.records import loop_turns

OPEN, HELD, SHUT = GateState.OPEN, GateState.HELD, GateState.SHUT


@pytest.mark.parametrize(
    ("before", "call", "after"),
    [
        (OPEN, "hold", HELD), (OPEN, "release", OPEN), (OPEN, "shut", SHUT), (OPEN, "open", OPEN),
        (HELD, "hold", HELD), (HELD, "release", OPEN), (HELD, "shut", SHUT), (HELD, "open", OPEN),
        (SHUT, "hold", SHUT), (SHUT, "release", SHUT), (SHUT, "shut", SHUT), (SHUT, "open", OPEN),
    ],
)  # fmt: skip
async def test_every_call_in_every_state_leads_where_the_table_says(
    before: GateState, call: str, after: GateState
) -> None:
    gate = Gate(Changes(), OPEN if before is HELD else before)
    if before is HELD:
        gate.hold()
    assert gate.state is before
    getattr(gate, call)()
    assert (gate.state, gate.is_open, gate.is_shut) == (after, after is OPEN, after is SHUT)


async def test_a_gate_is_shut_at_first() -> None:
    assert Gate(Changes()).is_shut


async def test_all_who_wait_pass_when_it_opens() -> None:
    gate = Gate(Changes())
    waiting = [asyncio.create_task(gate.passed()) for _ in range(3)]
    await loop_turns()
    assert not any(task.done() for task in waiting)
    gate.open()
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)


async def test_one_who_wakes_up_when_it_is_held_again_goes_on_waiting() -> None:
    gate = Gate(Changes())
    waiting = asyncio.create_task(gate.passed())
    await loop_turns()
    gate.open()
    gate.hold()
    await loop_turns()
    assert not waiting.done()
    gate.release()
    async with asyncio.timeout(30):
        await waiting


@pytest.mark.parametrize("call", ["hold", "shut"])
async def test_one_who_waits_for_a_change_is_woken(call: str) -> None:
    changes = Changes()
    gate = Gate(changes, OPEN)
    waiting = asyncio.create_task(changes.next())
    await loop_turns()
    getattr(gate, call)()
    async with asyncio.timeout(30):
        await waiting

"""Many share or one is alone: in order, with nobody waiting for ever for one who does not come back."""

from __future__ import annotations

import asyncio

import pytest

from streams import aio as module
from streams.aio import SharedOrAlone, in_background
from tests.support.records import loop_turns


class Holder:
    """One task that holds the lock until it is released."""

    def __init__(self, access: SharedOrAlone, *, alone: bool, log: list[str], name: str) -> None:
        self.release = asyncio.Event()
        self.task = asyncio.create_task(self._hold(access.alone() if alone else access.shared(), log, name))

    async def _hold(self, access: object, log: list[str], name: str) -> None:
        async with access:  # type: ignore[attr-defined]
            log.append(f"+{name}")
            await self.release.wait()
            log.append(f"-{name}")


async def test_one_who_wants_to_be_alone_waits_for_those_before_and_is_waited_for_by_those_after() -> None:
    access, log = SharedOrAlone(), list[str]()
    a, b = [Holder(access, alone=False, log=log, name=name) for name in "ab"]
    await loop_turns()
    c = Holder(access, alone=True, log=log, name="c")
    await loop_turns()
    d = Holder(access, alone=False, log=log, name="d")
    await loop_turns()
    assert log == ["+a", "+b"]
    for holder in (a, b, c, d):
        holder.release.set()
        await loop_turns()
    assert log == ["+a", "+b", "-a", "-b", "+c", "-c", "+d", "-d"]


async def test_others_pass_while_one_who_shares_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for a broker that is away, and the others for one that is there."""
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    access, log = SharedOrAlone(), list[str]()
    stuck = Holder(access, alone=False, log=log, name="stuck")
    await loop_turns()
    alone = Holder(access, alone=True, log=log, name="alone")
    await loop_turns()
    passing = Holder(access, alone=False, log=log, name="passing")
    passing.release.set()
    async with asyncio.timeout(30):
        await passing.task
    assert "+alone" not in log
    stuck.release.set()
    alone.release.set()
    async with asyncio.timeout(30):
        await asyncio.gather(stuck.task, alone.task)


@pytest.mark.parametrize("alone", [False, True])
async def test_whoever_is_cancelled_leaves_nothing_locked(alone: bool) -> None:
    access, log = SharedOrAlone(), list[str]()
    holding = Holder(access, alone=alone, log=log, name="holding")
    await loop_turns()
    waiting = Holder(access, alone=not alone, log=log, name="waiting")
    await loop_turns()
    for holder in (waiting, holding):
        holder.task.cancel()
        await asyncio.gather(holder.task, return_exceptions=True)
    for kind in (False, True):
        last = Holder(access, alone=kind, log=log, name="last")
        last.release.set()
        async with asyncio.timeout(30):
            await last.task


async def test_what_runs_in_the_background_ends_with_the_block() -> None:
    seen = []

    async def work() -> None:
        try:
            seen.append("begun")
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with in_background(work()):
        await loop_turns()
        assert seen == ["begun"]
    assert seen == ["begun", "ended"]


async def test_an_error_that_ended_it_is_raised_at_the_end_of_the_block() -> None:
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with in_background(work()):
            await loop_turns()

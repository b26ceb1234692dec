"""Open pages hear of changes, and only of changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streams.desk import pulse
from streams.desk.desk import Desk
from streams.desk.pulse import Beat, Pulse
from streams.errors import TryAgain
from streams.reviews.queue import Filter
from tests.support.desks import desk_settings, doubt


async def test_listeners_hear_of_changes_and_nothing_is_read_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_EVERY_S", 0.001)
    beats: list[Beat | Exception] = [(1, 1), (1, 1), TryAgain("locked"), (2, 1)]
    reads = 0

    def read() -> Beat:
        nonlocal reads
        beat = beats[min(reads, len(beats) - 1)]
        reads += 1
        if isinstance(beat, Exception):
            raise beat
        return beat

    one = Pulse(read)
    task = asyncio.create_task(one.run())
    await asyncio.sleep(0.02)
    assert reads == 0
    events = one.events()
    assert (await anext(events)).startswith(b"retry")
    assert await anext(events) == b'event: queue\ndata: {"waiting": 1}\n\n'
    assert await anext(events) == b'event: queue\ndata: {"waiting": 2}\n\n'
    monkeypatch.setattr(pulse, "_SIGN_OF_LIFE_S", 0.001)
    assert (await anext(events)).startswith(b":")
    await events.aclose()
    assert one.listeners == 0
    task.cancel()


def test_a_claim_a_decision_and_a_new_ticket_are_changes(tmp_path: Path) -> None:
    now = 1_000
    desk = Desk(desk_settings(tmp_path), local="me", now_ms=lambda: now)
    seen = [desk._pulse()]

    def changed() -> bool:
        seen.append(desk._pulse())
        return seen[-1] != seen[-2]

    assert not changed()
    desk.store.add(doubt("t-1"))
    assert changed()
    desk.claims.take("r", "ann", now, now + 10)
    assert changed()
    now += 10
    assert changed(), "the claim has ended"
    item = desk.queue.next_for("me", Filter(), now)
    assert item is not None
    desk.store.decide(item.review.review_id, "refund", "me", "", now, undo_ms=10)
    assert changed()
    desk.store.close()

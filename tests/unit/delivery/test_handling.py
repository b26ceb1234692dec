"""How long a handler call waits between attempts, and what passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas import TOPICS, DeadLetter, Message, Ticket
from streams.delivery import handling
from streams.delivery.handling import Handling
from streams.delivery.observer import Observer
from streams.delivery.stage import Stage
from streams.errors import StopWorker, TryAgain
from tests.support.records import record


def test_pauses_double_and_are_bounded() -> None:
    assert [handling._pause(attempt, None) for attempt in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, 1.6]
    assert handling._pause(30, None) == 30.0


def test_the_other_side_may_ask_for_a_longer_pause_and_never_for_a_shorter_one() -> None:
    assert handling._pause(1, 7.5) == 7.5
    assert handling._pause(3, 0.1) == 0.8
    assert handling._pause(1, 3600.0) == 30.0


async def test_every_retry_waits_as_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float | None]] = []

    def pause(attempt: int, after: float | None) -> float:
        asked.append((attempt, after))
        return 0.0

    monkeypatch.setattr(handling, "_pause", pause)
    waits = iter([2.5, None, 9.0])

    async def refuse(ticket: Ticket) -> Sequence[Message]:
        raise TryAgain("429", after=next(waits))

    stage = Stage("test", TOPICS["tickets"], refuse, attempts=3)
    (letter,) = await Handling(stage, Observer(), lambda: 0).call(record(0), Ticket(ticket_id="a", text="b"))
    assert isinstance(letter, DeadLetter)
    assert asked == [(1, 2.5), (2, None)]  # nobody waits after the last attempt


async def test_the_cancellation_of_the_caller_passes_through() -> None:
    begun = asyncio.Event()

    async def hang(ticket: Ticket) -> Sequence[Message]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    stage = Stage("test", TOPICS["tickets"], hang)
    call = asyncio.create_task(Handling(stage, Observer(), lambda: 0).call(record(0), Ticket(ticket_id="a", text="b")))  # type: ignore[var-annotated, arg-type]
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_stop_worker_passes_through() -> None:
    def refuse(ticket: Ticket) -> Sequence[Message]:
        raise StopWorker("wrong key")

    stage = Stage("test", TOPICS["tickets"], refuse)
    with pytest.raises(StopWorker, match="wrong key"):
        Handling(stage, Observer(), lambda: 0).compute(record(0), Ticket(ticket_id="a", text="b"))

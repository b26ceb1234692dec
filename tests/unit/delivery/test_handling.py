"""How long a handler call waits between attempts, and what passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas import TOPICS, DeadLetter, Message, Ticket
from streams.aio import Changes
from streams.delivery import handling
from streams.delivery.handling import Handling
from streams.delivery.observer import Observer
from streams.delivery.stage import Stage
from streams.errors import Hold, StopWorker, TryAgain
from tests.support.messages import review
from tests.support.records import answer, record, verdict

TICKET = Ticket(ticket_id="a", text="b")


async def ours() -> bool:
    return True


async def not_ours() -> bool:
    return False


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
    outputs = await Handling(stage, Observer(), lambda: 0, Changes()).call(record(0), TICKET, ours)
    assert outputs is not None
    (letter,) = outputs
    assert isinstance(letter, DeadLetter)
    assert asked == [(1, 2.5), (2, None)]  # nobody waits after the last attempt


async def test_the_cancellation_of_the_caller_passes_through() -> None:
    begun = asyncio.Event()

    async def hang(ticket: Ticket) -> Sequence[Message]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    stage = Stage("test", TOPICS["tickets"], hang)
    call = asyncio.create_task(Handling(stage, Observer(), lambda: 0, Changes()).call(record(0), TICKET, ours))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_stop_worker_passes_through() -> None:
    def refuse(ticket: Ticket) -> Sequence[Message]:
        raise StopWorker("wrong key")

    stage = Stage("test", TOPICS["tickets"], refuse)
    with pytest.raises(StopWorker, match="wrong key"):
        Handling(stage, Observer(), lambda: 0, Changes()).compute(record(0), Ticket(ticket_id="a", text="b"))


class Counted(Observer):
    """Keeps how many messages were held at each change."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def held(self, agent: str, count: int) -> None:
        self.counts.append(count)


def test_a_ticket_has_another_id_in_each_run() -> None:
    handling = Handling(Stage("test", TOPICS["reviews"], answer), Observer(), lambda: 0, Changes())
    ids = [handling.id_of(review(run=run)) for run in (0, 1, 2, 2)]
    assert ids[0] == b"t-1"
    assert ids[2] == ids[3]
    assert len(set(ids)) == 3


async def test_a_hold_has_no_deadline_counts_as_no_attempt_and_is_reported() -> None:
    back, asked, observer = asyncio.Event(), 0, Counted()

    async def over() -> None:
        await back.wait()

    async def hold(ticket: Ticket) -> Sequence[Message]:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise Hold("the endpoint does not answer", over)
        return [verdict(ticket.ticket_id)]

    stage = Stage("test", TOPICS["tickets"], hold, attempts=1, deadline_s=0.01)
    call = asyncio.create_task(Handling(stage, observer, lambda: 0, Changes()).call(record(0), TICKET, ours))
    done, _ = await asyncio.wait({call}, timeout=0.05)
    assert not done
    back.set()
    assert await call == (verdict("a"),)
    assert observer.counts == [1, 0] * 3


async def test_a_record_that_is_no_longer_ours_after_a_hold_is_not_handled_again() -> None:
    asked = 0

    async def over() -> None:
        return

    async def hold(ticket: Ticket) -> Sequence[Message]:
        nonlocal asked
        asked += 1
        raise Hold("the endpoint does not answer", over)

    stage = Stage("test", TOPICS["tickets"], hold)
    assert await Handling(stage, Observer(), lambda: 0, Changes()).call(record(0), TICKET, not_ours) is None
    assert asked == 1


async def test_a_hold_that_finds_that_nothing_can_succeed_stops_the_worker() -> None:
    async def over() -> None:
        raise StopWorker("wrong key")

    async def hold(ticket: Ticket) -> Sequence[Message]:
        raise Hold("the endpoint does not answer", over)

    stage = Stage("test", TOPICS["tickets"], hold)
    with pytest.raises(StopWorker, match="wrong key"):
        await Handling(stage, Observer(), lambda: 0, Changes()).call(record(0), TICKET, ours)

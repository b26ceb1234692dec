"""Reviews that are stored together: few transactions, and nobody pays for another one's fault."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from schemas import Review, Ticket
from streams.errors import StopWorker, TryAgain
from streams.reviews import group_commit
from streams.reviews.group_commit import GroupCommit


def doubt(ticket_id: str) -> Review:
    return Review(
        review_id=Review.id_for(ticket_id),
        ticket=Ticket(ticket_id=ticket_id, text="where is it"),
        calls=(),
        reasons=("audit",),
        uncertainty=1.0,
        policy_id="p",
    )


class Queue:
    """Keeps the batches that it was given; ``judge`` may refuse one, and the first waits for ``open``."""

    def __init__(self, judge: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self._judge = judge

    def add_all(self, reviews: Sequence[Review]) -> int:
        self.batches.append([review.ticket_id for review in reviews])
        assert self.open.wait(10.0)
        self._judge(self.batches[-1])
        return len(reviews)


async def begun(queue: Queue, store: GroupCommit, *tickets: str) -> list[asyncio.Task[None]]:
    """The first is being stored, the others wait."""
    tasks = []
    for ticket in tickets:
        tasks.append(asyncio.create_task(store.add(doubt(ticket))))
        await asyncio.sleep(0)
    while not queue.batches:
        await asyncio.sleep(0.001)
    return tasks


async def test_what_comes_while_one_is_stored_goes_into_the_next() -> None:
    queue = Queue()
    tasks = await begun(queue, GroupCommit(queue), "a", "b", "c", "d")
    assert queue.batches == [["a"]]
    queue.open.set()
    await asyncio.gather(*tasks)
    assert queue.batches == [["a"], ["b", "c", "d"]]


async def test_it_stores_again_after_it_had_nothing_to_do() -> None:
    queue = Queue()
    queue.open.set()
    store = GroupCommit(queue)
    for ticket in "ab":
        await store.add(doubt(ticket))
    assert queue.batches == [["a"], ["b"]]


async def test_only_the_one_at_fault_is_refused() -> None:
    def judge(tickets: Sequence[str]) -> None:
        if "bad" in tickets:
            raise ValueError("not this one")

    queue = Queue(judge)
    tasks = await begun(queue, GroupCommit(queue), "a", "b", "bad", "c")
    queue.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), ValueError, type(None)]
    assert queue.batches == [["a"], ["b", "bad", "c"], ["b"], ["bad"], ["c"]]


@pytest.mark.parametrize("error", [TryAgain("locked"), StopWorker("no such store")])
async def test_what_is_wrong_with_the_store_is_wrong_for_all(error: Exception) -> None:
    def judge(_: Sequence[str]) -> None:
        raise error

    queue = Queue(judge)
    tasks = await begun(queue, GroupCommit(queue), "a", "b", "c")
    queue.open.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [error] * 3
    assert queue.batches == [["a"], ["b", "c"]]


async def test_one_who_no_longer_waits_holds_up_nobody() -> None:
    queue = Queue()
    tasks = await begun(queue, GroupCommit(queue), "a", "b", "c")
    tasks[0].cancel()
    tasks[1].cancel()
    queue.open.set()
    await tasks[2]
    assert queue.batches[1] == ["b", "c"], "the review is stored all the same"


async def test_a_store_that_does_not_answer_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "_PATIENCE_S", 0.02)
    queue = Queue()
    store = GroupCommit(queue)
    with pytest.raises(TryAgain, match="has not answered"):
        await store.add(doubt("a"))
    monkeypatch.undo()
    queue.open.set()
    await store.add(doubt("a"))
    assert queue.batches == [["a"], ["a"]]

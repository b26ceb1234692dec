"""What on call sees of the queue of reviews."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streams.errors import TryAgain
from streams.reviews.store import Counts, Hour, ReviewStore
from streams.worker.review_queue import watch_queue
from tests.support.messages import review


class Looks:
    """Lets the queue be looked at this many times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.shown: list[tuple[int, float]] = []

    async def sleep(self, _seconds: float) -> None:
        self.left -= 1
        if not self.left:
            raise asyncio.CancelledError

    async def at(self, store: ReviewStore, wall_ms: int) -> list[tuple[int, float]]:
        with pytest.raises(asyncio.CancelledError):
            await watch_queue(
                store,
                lambda queue: self.shown.append((queue.counts.waiting, queue.oldest_s)),
                sleep=self.sleep,
                wall_ms=lambda: wall_ms,
            )
        return self.shown


async def test_the_length_and_the_age_of_the_oldest_waiting_review_are_shown(tmp_path: Path) -> None:
    stored_ms = iter([1_000, 2_000, 3_000])
    store = ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}", wall_ms=lambda: next(stored_ms))
    assert await Looks(1).at(store, 9_000) == [(0, 0.0)]
    for ticket in ("t-1", "t-2", "t-3"):
        store.add(review(ticket))
    assert await Looks(1).at(store, 9_000) == [(3, 8.0)]
    store.decide(review("t-1").review_id, "account", "ann", "", 4_000)
    assert await Looks(1).at(store, 9_000) == [(2, 7.0)]


async def test_a_store_that_is_unavailable_leaves_what_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}")
    answers = iter([Counts(2, 0, 1_000), TryAgain("the store is busy"), Counts(1, 1, 2_000)])

    def counts() -> Counts:
        answer = next(answers)
        if isinstance(answer, TryAgain):
            raise answer
        return answer

    monkeypatch.setattr(store, "counts", counts)
    assert await Looks(3).at(store, 4_000) == [(2, 3.0), (1, 2.0)]


async def test_what_came_and_what_was_decided_within_an_hour_is_shown(tmp_path: Path) -> None:
    stored_ms = iter([1_000, 2_000_000, 3_000_000])
    store = ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}", wall_ms=lambda: next(stored_ms))
    for ticket in ("t-1", "t-2", "t-3"):
        store.add(review(ticket))
    store.decide(review("t-1").review_id, "account", "ann", "", 3_000_000)
    store.decide(review("t-2").review_id, "account", "ann", "", 1_500)
    assert store.hour(1_000) == Hour(added=3, decided=2)
    assert store.hour(2_000_000) == Hour(added=2, decided=1)
    assert store.hour(4_000_000) == Hour(added=0, decided=0)

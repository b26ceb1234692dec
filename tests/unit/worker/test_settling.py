"""Reviews are closed that a later result has overtaken, whichever of the two came first."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from schemas import Review
from streams.errors import TryAgain
from streams.reviews.store import ReviewStore
from streams.worker.settling import close_superseded
from tests.support.messages import review

TURNS = {"t-1": (2, 0), "t-2": (1, 0), "t-3": (1, 7)}


def waiting(ticket_id: str, revision: int) -> Review:
    return review(ticket_id, review_id=Review.id_for(ticket_id, revision), revision=revision)


class Looks:
    """Lets the store be looked at this many times; ``between`` runs before each."""

    def __init__(self, times: int) -> None:
        self.left = times + 1

    async def sleep(self, _seconds: float) -> None:
        self.left -= 1
        if not self.left:
            raise asyncio.CancelledError


async def test_a_review_of_an_earlier_text_or_run_is_closed_also_if_it_came_later(tmp_path: Path) -> None:
    with closing(ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}")) as store:
        store.add_all([waiting("t-1", 2), waiting("t-2", 1), waiting("t-3", 1), waiting("t-4", 1)])
        for ticket_id, open_ones in (("", {"t-1", "t-2", "t-4"}), ("t-5", {"t-1", "t-2", "t-4"})):
            if ticket_id:
                store.add(waiting(ticket_id, 1))
            with pytest.raises(asyncio.CancelledError):
                await close_superseded(store, (TURNS | {"t-5": (2, 0)}).get, sleep=Looks(1).sleep)
            assert {item.review.ticket_id for item in store.waiting(9)} == open_ones
        assert store.counts().closed == 2
        found = store.get("t-3")
        assert found is not None
        assert found.closed_by == "superseded"


async def test_a_decision_is_left_as_it_is(tmp_path: Path) -> None:
    with closing(ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}")) as store:
        one = waiting("t-1", 1)
        store.add(one)
        decision = store.decide(one.review_id, "refund", "ada", "", 1)
        assert store.close_superseded(TURNS.get) == 0
        assert store.unsent() == [decision]


async def test_a_store_that_is_unavailable_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}")) as store:
        answers = iter([TryAgain("the store is busy"), 0, 3])
        asked = []

        def close(turn_of: object) -> int:
            asked.append(turn_of)
            answer = next(answers)
            if isinstance(answer, TryAgain):
                raise answer
            return answer

        monkeypatch.setattr(store, "close_superseded", close)
        with pytest.raises(asyncio.CancelledError):
            await close_superseded(store, TURNS.get, sleep=Looks(3).sleep)
        assert len(asked) == 3

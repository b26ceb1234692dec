"""A ticket that is forgotten leaves nothing in the store but that somebody did something; on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas import Review
from streams.errors import TryAgain
from streams.reviews.claims import Claims
from streams.reviews.forgetting import forget_ticket
from streams.reviews.journal import Action, Journal
from streams.reviews.opinions import Opinions
from streams.reviews.queue import Filter, Queue
from streams.reviews.store import ReviewStore
from streams.reviews.tables import CLAIMS, JOURNAL, MARKS, OPINIONS, REVIEWS, SESSIONS, TEXTS
from tests.support.desks import doubt

T0 = 1_700_000_000_000
SECRET = "my maiden name was Xylophia Quentin"


@pytest.fixture
def store(url: str, open_store) -> ReviewStore:  # type: ignore[no-untyped-def]
    store: ReviewStore = open_store(url, wall_ms=lambda: T0)
    store.add_all([doubt("gone", text=SECRET), doubt("stays", text="nothing of that kind")])
    for ticket_id in ("gone", "stays"):
        review_id = Review.id_for(ticket_id)
        item = store.get(review_id)
        assert item is not None
        Opinions(store).ask(item, "lea", T0)
        Queue(store).mark(review_id, "flag", "ann", T0, f"a note on {ticket_id}")
        store.decide(review_id, "account", "ann", f"why {ticket_id}", T0)
        Claims(store.database).take(review_id, "ann", T0, T0 + 9)
    return store


def everything(store: ReviewStore) -> str:
    with store.database.transaction() as connection:
        tables = (REVIEWS, TEXTS, CLAIMS, MARKS, OPINIONS, JOURNAL, SESSIONS)
        return "\n".join(str(row) for table in tables for row in connection.execute(sa.select(table)))


def test_nothing_of_the_ticket_is_left(store: ReviewStore) -> None:
    assert "gone" in everything(store)
    entries = len(Journal(store.database).latest(99))
    found = forget_ticket(store.database, "gone", "otto", T0 + 1)
    assert found["reviews"] == found["texts"] == 1
    assert min(found.values()) >= 1
    left = everything(store)
    assert "gone" not in left
    assert SECRET not in left
    assert Review.id_for("gone") not in left
    assert store.get("gone") is None
    assert [decision.verdict.ticket_id for decision in store.unsent()] == ["stays"]
    told = Journal(store.database).latest(99)
    assert (told[0].name, told[0].action, told[0].at_ms) == ("otto", Action.FORGET, T0 + 1)
    assert len(told) == entries + 1, "who did what stays"


def test_others_are_as_they_were(store: ReviewStore) -> None:
    before = [item for item in store.each() if item.review.ticket_id == "stays"]
    forget_ticket(store.database, "gone", "otto", T0 + 1)
    assert list(store.each()) == before
    assert {entry.ticket_id for entry in Journal(store.database).of_review(Review.id_for("stays"))} == {"stays"}
    store.add(doubt("next", text="a word or two"))
    assert [item.review.ticket_id for item in Queue(store).page(Filter(text="word"), T0).items] == ["next"]


def test_a_dry_run_changes_nothing_and_a_second_time_finds_nothing(store: ReviewStore) -> None:
    before = everything(store)
    counted = forget_ticket(store.database, "gone", "otto", T0, dry_run=True)
    assert everything(store) == before
    assert forget_ticket(store.database, "gone", "otto", T0) == counted
    after = everything(store)
    assert not any(forget_ticket(store.database, "gone", "otto", T0).values())
    assert everything(store) == after


def test_the_file_of_sqlite_does_not_hold_it_either(tmp_path: Path, open_store) -> None:  # type: ignore[no-untyped-def]
    store = open_store(f"sqlite:///{tmp_path}/reviews.db")
    store.add_all([doubt("gone", text=SECRET), *(doubt(f"t-{number}") for number in range(50))])
    assert SECRET.encode() in content(tmp_path)
    forget_ticket(store.database, "gone", "otto", T0)
    assert SECRET.encode() not in content(tmp_path)
    assert b"Xyl" not in content(tmp_path), "nor the index its trigrams"


def test_a_reader_that_keeps_it_in_the_file_is_told_of_until_it_ends(tmp_path: Path, open_store) -> None:  # type: ignore[no-untyped-def]
    url = f"sqlite:///{tmp_path}/reviews.db?timeout=0"
    store, other = open_store(url), open_store(url)
    store.add(doubt("gone", text=SECRET))
    with other.database.transaction() as reading:
        reading.exec_driver_sql("BEGIN")
        assert reading.execute(sa.select(REVIEWS.c.ticket_id)).all() == [("gone",)]
        for _ in range(2):
            with pytest.raises(TryAgain, match="holds what was forgotten"):
                forget_ticket(store.database, "gone", "otto", T0)
        assert store.get("gone") is None
        assert SECRET.encode() in content(tmp_path)
    forget_ticket(store.database, "gone", "otto", T0)
    assert SECRET.encode() not in content(tmp_path)


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())

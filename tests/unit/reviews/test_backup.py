"""A backup of the store is all of it at one moment, and becomes a store again in either database."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas import Review
from streams.errors import SettingsError
from streams.reviews.backup import back_up, restore
from streams.reviews.claims import Claims
from streams.reviews.journal import Action, Entry, Journal
from streams.reviews.known_users import KnownUsers
from streams.reviews.opinions import Opinions
from streams.reviews.queue import Filter, Queue
from streams.reviews.sessions import Sessions
from streams.reviews.store import ReviewStore
from streams.reviews.tables import COUNTS, REVIEWS, SESSIONS
from tests.support.desks import doubt
from tests.support.store_v1 import STATES, as_version_1
from tests.unit.reviews.conftest import postgres_schema

T0 = 1_700_000_000_000


@pytest.fixture
def store(url: str, open_store) -> ReviewStore:  # type: ignore[no-untyped-def]
    store: ReviewStore = open_store(url, wall_ms=lambda: T0)
    store.add_all([doubt(f"t-{number}", text=f"text number {number}") for number in range(1200)])
    store.decide(Review.id_for("t-3"), "account", "ann", "a note\0 with a NUL", T0)
    store.mark_sent(Review.id_for("t-3"))
    store.decide(Review.id_for("t-4"), None, "bob", "", T0)
    Claims(store.database).take(Review.id_for("t-5"), "ann", T0, T0 + 9)
    Queue(store).mark(Review.id_for("t-6"), "flag", "ann", T0, "look")
    asked = store.get("t-7")
    assert asked is not None
    Opinions(store).ask(asked, "lea", T0)
    store.decide(Review.id_for("t-7"), "account", "ann", "", T0, undo_ms=99)
    KnownUsers(store.database).remember("ann", "reviewer", T0)
    Sessions(store.database).start("ann", None, T0, T0 + 99)
    return store


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path, open_store) -> Iterator[ReviewStore]:  # type: ignore[no-untyped-def]
    if request.param == "sqlite":
        yield open_store(f"sqlite:///{tmp_path}/restored.db", wall_ms=lambda: T0)
    else:
        for url in postgres_schema(request.getfixturevalue("postgresql")):
            yield open_store(url, wall_ms=lambda: T0)


def rows(store: ReviewStore) -> dict[str, list[tuple[object, ...]]]:
    with store.database.transaction() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in REVIEWS.metadata.tables.values()
            if table not in (SESSIONS, COUNTS)
        }


def test_what_is_restored_is_what_was_backed_up(store: ReviewStore, empty: ReviewStore, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    counts = back_up(store.database, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert counts["reviews"] == counts["texts"] == 1200
    before, in_each_state, content = rows(store), store.counts(), file.read_bytes()
    assert all(before.values()), "each table has something to lose"
    store.add(doubt("later"))
    assert restore(file, empty.database) == counts
    assert rows(empty) == before
    assert empty.counts() == in_each_state
    assert file.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("backup")] == ["backup"]


def test_a_restored_store_is_a_store(store: ReviewStore, empty: ReviewStore, tmp_path: Path) -> None:
    back_up(store.database, tmp_path / "backup")
    restore(tmp_path / "backup", empty.database)
    assert [decision.verdict.ticket_id for decision in empty.unsent()] == ["t-4"]
    assert empty.take_due() == ({Review.id_for("t-4")}, set())
    assert empty.next_due_ms() == T0 + 99, "what can be undone is sent when it was to be"
    assert [item.review.ticket_id for item in Opinions(empty).waiting_for("bob")] == ["t-7"]
    assert KnownUsers(empty.database).all() == KnownUsers(store.database).all()
    empty.decide(Review.id_for("t-8"), "account", "ann", "", T0)
    Journal(empty.database).add(Entry(T0, "ann", Action.LOGIN))
    assert Journal(empty.database).latest(1)[0].action == Action.LOGIN, "its number is the next"
    assert [item.review.ticket_id for item in Queue(empty).page(Filter(text="number 1199"), T0).items] == ["t-1199"]


def test_a_store_that_holds_something_stays_as_it_is(store: ReviewStore, empty: ReviewStore, tmp_path: Path) -> None:
    back_up(store.database, tmp_path / "backup")
    Journal(empty.database).add(Entry(T0, "ann", Action.LOGIN))
    before = rows(empty)
    with pytest.raises(SettingsError, match="holds journal: a backup is restored into an empty store only"):
        restore(tmp_path / "backup", empty.database)
    assert rows(empty) == before


def test_a_file_that_is_there_is_not_written_over(store: ReviewStore, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(SettingsError, match="is there already"):
        back_up(store.database, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "precious"
    with pytest.raises(SettingsError, match="cannot be written"):
        back_up(store.database, tmp_path / "nowhere" / "backup")


def test_a_file_of_an_earlier_release_is_brought_up_to_date_on_the_way(empty: ReviewStore, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/backup")
    as_version_1(engine)
    engine.dispose()
    content = (tmp_path / "backup").read_bytes()
    assert restore(tmp_path / "backup", empty.database)["reviews"] == len(STATES)
    assert (tmp_path / "backup").read_bytes() == content
    assert [item.review.ticket_id for item in empty.waiting(9)] == ["t-waiting"]


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be looked at" * 40])
def test_what_is_no_backup_is_refused(empty: ReviewStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backup").write_bytes(content)
    with pytest.raises(SettingsError, match="is no backup of a review store"):
        restore(tmp_path / "backup", empty.database)
    with pytest.raises(SettingsError, match="No such file"):
        restore(tmp_path / "absent", empty.database)

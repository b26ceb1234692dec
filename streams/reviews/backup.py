"""Backs the review store up into a file, and restores one: the file is an SQLite store, whichever database it was made of.

Logins are left out: whoever was logged in logs in again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from streams.errors import SettingsError
from streams.reviews.database import Database
from streams.reviews.tables import COUNTS, JOURNAL, REVIEWS, SESSIONS, count_rows, short_name

#: All tables but the logins, and the counts, which the database makes of the reviews.
_KEPT = tuple(each for each in REVIEWS.metadata.tables.values() if each not in (SESSIONS, COUNTS))
_PAGE = 500

Counts = dict[str, int]
"""How many rows of each table, by its name without ``hedgerow_``."""


def back_up(database: Database, file: Path) -> Counts:
    """Write the store, as it is at one moment, into a new file that its owner alone may read; others work on meanwhile.

    Raises SettingsError if the file is there already or cannot be written, and what a transaction raises.
    """
    if file.exists():
        raise SettingsError(f"{file} is there already: name a new file")
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        counts = _copy_sqlite(database, part) if database.is_sqlite else _copy_into(database, part)
        _sync(part)
        part.rename(file)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"{file} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return counts


def restore(file: Path, database: Database) -> Counts:
    """Fill an empty store from a backup, all or nothing; the file stays as it is.

    Raises SettingsError if the store holds anything, or if the file is no backup that this release can read.
    """
    if not file.is_file():
        raise SettingsError(f"{file}: No such file")
    with TemporaryDirectory(prefix="hedgerow-restore-") as folder:
        copy = Path(folder) / "backup.db"
        # A backup of an earlier release is brought up to date in the copy.
        shutil.copyfile(file, copy)
        _check(copy, file)
        with _store_at(copy) as source:
            return _copy_rows(source, database, into_empty=True)


def _check(copy: Path, file: Path) -> None:
    """Raise SettingsError if a file holds no store, which opening it as one would make."""
    try:
        with closing(sqlite3.connect(copy)) as opened:
            found = opened.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (REVIEWS.name,)).fetchone()
    except sqlite3.Error as error:
        raise SettingsError(f"{file} is no backup of a review store: {error}") from None
    if found is None:
        raise SettingsError(f"{file} is no backup of a review store: it has no reviews")


def _copy_sqlite(database: Database, part: Path) -> Counts:
    with closing(sqlite3.connect(part)) as target:
        with database.transaction() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # one file, without another beside it
        target.execute("PRAGMA secure_delete = ON")
        with target:
            target.execute(f"DELETE FROM {SESSIONS.name}")  # noqa: S608 - a name of ours
    with _store_at(part) as store, store.transaction() as connection:
        return {short_name(table): count_rows(connection, table) for table in _KEPT}


def _copy_into(database: Database, part: Path) -> Counts:
    with _store_at(part) as target:
        counts = _copy_rows(database, target)
    with closing(sqlite3.connect(part)) as file:
        file.execute("PRAGMA journal_mode = DELETE")
    return counts


@contextmanager
def _store_at(path: Path) -> Iterator[Database]:
    store = Database(f"sqlite:///{path}")
    try:
        yield store
    finally:
        store.close()


def _copy_rows(source: Database, target: Database, *, into_empty: bool = False) -> Counts:
    """Copy every row, in one transaction on either side."""
    counts = {}
    with source.transaction() as reading, target.transaction() as writing:
        if not source.is_sqlite:
            reading.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if into_empty and (held := [short_name(each) for each in (*_KEPT, SESSIONS) if count_rows(writing, each)]):
            raise SettingsError(f"{target.name} holds {', '.join(held)}: a backup is restored into an empty store only")
        for table in _KEPT:
            rows = reading.execution_options(yield_per=_PAGE).execute(sa.select(table))
            counts[short_name(table)] = sum(_insert(writing, table, page) for page in rows.mappings().partitions(_PAGE))
        if not target.is_sqlite and counts[short_name(JOURNAL)]:
            # The rows bring their own numbers: the next one of the journal's has to come after them.
            last = sa.select(sa.func.max(JOURNAL.c.id)).scalar_subquery()
            writing.execute(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(JOURNAL.name, "id"), last)))
    return counts


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[sa.RowMapping]) -> int:
    connection.execute(table.insert(), [dict(row) for row in rows])
    return len(rows)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())

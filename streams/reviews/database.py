"""The database behind the review store: SQLite or PostgreSQL, opened, prepared and used in transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from streams.errors import SettingsError, TryAgain
from streams.reviews.migrate import NewerStore, upgrade

_URLS = "write sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class _Backend:
    """What differs between the databases."""

    driver: str
    patience: dict[str, str]
    """The connection option that bounds a wait, in seconds, unless the URL has its own."""
    lock_schema: str
    """Makes other processes wait until this transaction ends; PostgreSQL's number is any that no other program locks."""
    insert: Callable[[sa.Table], Any]
    """The dialect's INSERT, which knows ON CONFLICT DO NOTHING."""


_BACKENDS = {
    "sqlite": _Backend("sqlite+pysqlite", {"timeout": "10"}, "BEGIN IMMEDIATE", sqlite.insert),
    "postgresql": _Backend(
        "postgresql+psycopg", {"connect_timeout": "10"}, "SELECT pg_advisory_xact_lock(48372)", postgresql.insert
    ),
}


def _open(url: str) -> tuple[sa.Engine, _Backend]:
    """Return the engine, which connects at first use; raises SettingsError for a URL that cannot work."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The text itself stays out of the message: it may hold a password.
        raise SettingsError(f"the review store's URL cannot be read: {_URLS}") from None
    name = parsed.get_backend_name()
    if name not in _BACKENDS:
        raise SettingsError(f"the review store cannot be kept in {name!r}: {_URLS}")
    if name == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise SettingsError("a review store in memory would forget its reviews: write sqlite:///PATH")
    backend = _BACKENDS[name]
    parsed = parsed.set(drivername=backend.driver, query={**backend.patience, **parsed.query})
    try:
        # hide_parameters: a ticket's text belongs in no error.
        engine = sa.create_engine(parsed, hide_parameters=True, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise SettingsError("a review store in PostgreSQL needs psycopg: pip install 'hedgerow[postgres]'") from None
    if name == "sqlite":
        sa.event.listen(engine, "connect", _configure_sqlite)
    else:
        sa.event.listen(engine, "connect", _configure_postgresql)
    return engine, backend


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # WAL: readers and the one writer do not wait for each other. SQLite refuses the switch, without waiting, while another
    # process makes it too, and then it needs no second one; any other trouble comes back at the first statement.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a review is on the disk before its offset is finished
    connection.create_function("hedgerow_text", 1, _text_of, deterministic=True)


def _configure_postgresql(connection: Any, _record: object) -> None:
    # Its estimates of a search are high enough that it would compile the query, which takes longer than to run it.
    connection.execute("SET jit = off")
    connection.commit()


def _text_of(review: bytes) -> str:
    """Return the text of a stored review's ticket, for a search in any case; SQLite's own LIKE knows ASCII's alone."""
    text: str = orjson.loads(review)["ticket"]["text"]
    return text.casefold()


def _passes(error: sa.exc.DBAPIError) -> bool:
    """Return whether the next attempt may succeed: the database is locked or unavailable, not wrong."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # the low byte is the primary code
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)


class Database:
    """Opens transactions on prepared tables, for any number of processes and threads.

    A transaction raises TryAgain if the database is locked or unavailable (at most 10 s for SQLite's lock or
    PostgreSQL's connection, unless the URL says otherwise), SettingsError if this release cannot use it.
    """

    def __init__(self, url: str) -> None:
        self._engine, self._backend = _open(url)
        # Without the query, which may hold a password too.
        self.name = f"review store {self._engine.url.set(drivername=self._engine.name, query={})!r}"
        self._prepared = False

    @property
    def is_there(self) -> bool:
        """Whether there is a database to read, which SQLite would else create."""
        url = self._engine.url
        return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite: texts are then searched in its own way."""
        return self._engine.name == "sqlite"

    def insert(self, table: sa.Table) -> Any:
        """Return the dialect's INSERT, which knows ON CONFLICT."""
        return self._backend.insert(table)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open one transaction on prepared tables; what the database raises comes out as one of our errors.

        A transaction that writes begins with its write: SQLite then waits for its turn, whereas a reader that turns
        writer would be refused at once.
        """
        try:
            if not self._prepared:
                self._prepare()
                self._prepared = True
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.TimeoutError as error:
            raise TryAgain(f"{self.name} has no connection free") from error
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            if _passes(error):
                raise TryAgain(f"{self.name} is busy or unavailable: {reason}") from error
            raise SettingsError(f"{self.name} cannot be used: {reason}") from error

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._engine.dispose()

    def _prepare(self) -> None:
        """Create the tables in an empty database, and bring older ones up to date; refuse those of a later release."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._backend.lock_schema)
            try:
                upgrade(connection)
            except NewerStore as error:
                raise SettingsError(f"{self.name}: {error}: use the release that wrote it, or another store") from None

"""The review queue: doubtful tickets wait here for a reviewer, and decisions wait here until Kafka has them.

One row per review walks one way through three states: *waiting* -> *decided* -> *sent*. The step to *decided* is one
conditional UPDATE, so of two reviewers the database lets one win. A review whose ticket is sent through again goes from
*waiting* to *again*, and a review of that run takes its place. A decision that is stored is not yet sent:
it stays in ``unsent`` until its messages are marked as sent, so a crash repeats the sending, harmless by their ids.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from schemas import NEWEST, InvalidMessage, Review, WireFormat, rank
from streams.errors import SettingsError, TryAgain
from streams.reviews.decision import AlreadyDecided, Decision, DecisionRefused, outcome_of

#: Grows when a table changes; a store of another version is refused.
STORE_VERSION = 1
_PAGE = 500
_URLS = "write sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class Again:
    """Which run a review's ticket was sent through again with, by whom and when (Unix time, milliseconds)."""

    run: int
    by: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One review in the store, when it came (Unix time, milliseconds), and its decision once there is one."""

    review: Review
    added_ms: int
    decision: Decision | None
    again: Again | None = None
    """Set once the ticket was sent through again: the review is closed, and the run may bring another one."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many reviews wait and how many are decided, sent or not."""

    waiting: int
    decided: int
    oldest_ms: int | None = None
    """When the oldest of the waiting ones was stored, Unix time in milliseconds; None if none waits."""
    none_of_these: int = 0
    """How many of the decided ones fit no label."""


class _Utf8(sa.TypeDecorator[str]):
    """Any text that a message may hold, as bytes: PostgreSQL's own text refuses the NUL character."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> bytes | None:
        # surrogatepass: what a shell hands over may be no Unicode; it is then found nowhere, which is the right answer.
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: bytes | None, _dialect: sa.Dialect) -> str | None:
        return None if value is None else value.decode("utf-8", "surrogatepass")


_WAITING, _DECIDED, _SENT, _AGAIN = "waiting", "decided", "sent", "again"
_METADATA = sa.MetaData()
_SCHEMA = sa.Table(
    "hedgerow_schema", _METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)
_REVIEWS = sa.Table(
    "hedgerow_reviews",
    _METADATA,
    sa.Column("review_id", _Utf8, primary_key=True),
    sa.Column("ticket_id", _Utf8, nullable=False, index=True),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("uncertainty", sa.Double, nullable=False),
    sa.Column("added_ms", sa.BigInteger, nullable=False),
    sa.Column("review", sa.LargeBinary, nullable=False),
    sa.Column("label", _Utf8),
    sa.Column("decided_by", _Utf8),
    sa.Column("note", _Utf8),
    sa.Column("decided_ms", sa.BigInteger),
)
_C = _REVIEWS.c
_QUEUE_ORDER = (_C.uncertainty.desc(), _C.added_ms, _C.review_id)
sa.Index("hedgerow_reviews_queue", _C.state, *_QUEUE_ORDER)


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
    return engine, backend


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # WAL: readers and the one writer do not wait for each other. SQLite refuses the switch, without waiting, while another
    # process makes it too, and then it needs no second one; any other trouble comes back at the first statement.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a review is on the disk before its offset is finished


def _passes(error: sa.exc.DBAPIError) -> bool:
    """Return whether the next attempt may succeed: the database is locked or unavailable, not wrong."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # the low byte is the primary code
    return isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)


class ReviewStore:
    """A durable queue of reviews in SQLite or PostgreSQL, for any number of processes and threads.

    ``labels``, if given, are the only ones that a decision may name. The tables are created at first use. Every
    method blocks on the database (at most 10 s for SQLite's lock or PostgreSQL's connection, unless the URL says
    otherwise) and raises TryAgain if it is locked or unavailable, SettingsError if this release cannot use it.
    """

    def __init__(
        self,
        url: str,
        *,
        labels: Collection[str] | None = None,
        wire: WireFormat = NEWEST,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._engine, self._backend = _open(url)
        self._labels = labels
        self._wire = wire
        self._wall_ms = wall_ms
        # Without the query, which may hold a password too.
        self._name = f"review store {self._engine.url.set(drivername=self._engine.name, query={})!r}"
        self._prepared = False

    @property
    def is_there(self) -> bool:
        """Whether there is a database to read, which SQLite would else create."""
        url = self._engine.url
        return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()

    def add(self, review: Review) -> bool:
        """Store one review durably; return False if it was there before, waiting or decided."""
        return self.add_all([review]) == 1

    def add_all(self, reviews: Iterable[Review]) -> int:
        """Store reviews in one transaction; return how many were new.

        One of a later run replaces the ticket's earlier one; any other that was there before is left as it is.
        """
        now = self._wall_ms()
        rows = [
            {
                "review_id": review.review_id,
                "ticket_id": review.ticket_id,
                "state": _WAITING,
                "uncertainty": review.uncertainty,
                "added_ms": now,
                "review": self._wire.encode(review),
            }
            # In one order everywhere: two workers with the same reviews cannot wait for each other's rows.
            for review in sorted(reviews, key=lambda review: review.review_id)
        ]
        if not rows:
            return 0
        insert = self._backend.insert(_REVIEWS).on_conflict_do_nothing().returning(_C.review_id)
        with self._transaction() as connection:
            new = set(connection.execute(insert, rows).scalars())
            for row in rows:
                if row["review_id"] not in new and self._replaces(connection, row):
                    new.add(row["review_id"])
        return len(new)

    def waiting(self, limit: int, offset: int = 0) -> list[QueueItem]:
        """Return undecided reviews, the most uncertain first, of equals the oldest."""
        queue = sa.select(_REVIEWS).where(_C.state == _WAITING).order_by(*_QUEUE_ORDER)
        return self._items(queue.limit(limit).offset(offset))

    def each(self) -> Iterator[QueueItem]:
        """Yield every review, waiting or decided, a page at a time."""
        last = ""
        while page := self._items(sa.select(_REVIEWS).where(_C.review_id > last).order_by(_C.review_id).limit(_PAGE)):
            yield from page
            last = page[-1].review.review_id

    def get(self, ticket_id_or_review_id: str) -> QueueItem | None:
        """Return the review with this id, else the latest one of the ticket with this id, else None."""
        is_review, is_ticket = _C.review_id == ticket_id_or_review_id, _C.ticket_id == ticket_id_or_review_id
        found = sa.select(_REVIEWS).where(is_review | is_ticket).order_by(is_review.desc(), _C.added_ms.desc())
        return next(iter(self._items(found.limit(1))), None)

    def counts(self) -> Counts:
        """Return how many reviews wait, since when, and how many are decided."""
        query = sa.select(_C.state, sa.func.count(), sa.func.count(_C.label), sa.func.min(_C.added_ms)).group_by(
            _C.state
        )
        with self._transaction() as connection:
            rows = {
                state: (int(count), int(labelled), first) for state, count, labelled, first in connection.execute(query)
            }
        waiting, _, oldest_ms = rows.get(_WAITING, (0, 0, None))
        ended = [rows[state] for state in (_DECIDED, _SENT) if state in rows]
        decided = sum(count for count, _, _ in ended)
        return Counts(waiting, decided, oldest_ms, decided - sum(labelled for _, labelled, _ in ended))

    def decide(self, review_id: str, label: str | None, by: str, note: str, at_ms: int) -> Decision:
        """Store what ``by`` decided at ``at_ms`` (Unix time, milliseconds) and return it, to be sent; None: no label fits.

        The same label by the same reviewer again returns the first decision. Raises AlreadyDecided if another one
        stands, and DecisionRefused for a review that is not here, an unknown label or an impossible value.
        """
        if label is None and self._wire.version == 1:
            raise DecisionRefused("version 1 of the messages has no result without a label: set messages.write: 2")
        if self._labels is not None and label is not None and label not in self._labels:
            raise DecisionRefused(f"there is no label {label!r}; there are: {', '.join(sorted(self._labels))}")
        verdict, routed = outcome_of(self._review(review_id).review, label, by, note, at_ms)
        values = {"state": _DECIDED, "label": label, "decided_by": by, "note": note, "decided_ms": at_ms}
        if self._advance(review_id, _WAITING, values):
            return Decision(verdict, routed, sent=False)
        item = self._review(review_id)
        if item.again is not None:
            raise DecisionRefused(
                f"ticket {item.review.ticket_id!r} was sent through again in run {item.again.run}: it ends on routed, or waits"
                " again"
            )
        standing = item.decision
        assert standing is not None  # nothing else ends the waiting, and no decision is ever taken back
        if (standing.verdict.label, standing.verdict.decided_by) != (label, by):
            raise AlreadyDecided(standing)
        return standing

    def send_again(self, review_ids: Iterable[str], again: Again, *, decided: bool = False) -> list[str]:
        """Close reviews whose tickets are about to be sent through again; return the ids of those that may be.

        Not among them are those that a reviewer decided; ``decided`` returns them too, and leaves their decisions.
        """
        mine = _C.review_id.in_(list(review_ids))
        values = {"state": _AGAIN, "decided_by": again.by, "note": str(again.run), "decided_ms": again.at_ms}
        open_ones = sa.update(_REVIEWS).where(mine, _C.state.in_([_WAITING, _AGAIN])).values(values)
        with self._transaction() as connection:
            closed = list(connection.execute(open_ones.returning(_C.review_id)).scalars())
            if decided:
                query = sa.select(_C.review_id).where(mine, _C.state.in_([_DECIDED, _SENT]))
                closed += connection.execute(query).scalars()
        return closed

    def unsent(self) -> list[Decision]:
        """Return the decisions whose messages may not have been sent, the oldest first."""
        items = self._items(sa.select(_REVIEWS).where(_C.state == _DECIDED).order_by(_C.decided_ms, _C.review_id))
        return [item.decision for item in items if item.decision is not None]

    def mark_sent(self, review_id: str) -> bool:
        """Note that the broker has acknowledged both messages; return False if nothing was left to note."""
        return self._advance(review_id, _DECIDED, {"state": _SENT})

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._engine.dispose()

    def _advance(self, review_id: str, state: str, values: dict[str, Any]) -> bool:
        """Write ``values`` if the review is in ``state``, and return whether it was: of two callers one receives True."""
        here = (_C.review_id == review_id) & (_C.state == state)
        with self._transaction() as connection:
            return connection.execute(sa.update(_REVIEWS).where(here).values(values)).rowcount == 1

    def _replaces(self, connection: sa.Connection, row: dict[str, Any]) -> bool:
        """Put a review in the place of the ticket's earlier one if it is of a later run, and return whether it was.

        A decision that is not sent yet stays.
        """
        here = (_C.review_id == row["review_id"]) & (_C.state != _DECIDED)
        stored = connection.scalar(sa.select(_C.review).where(here))
        if stored is None or self._rank(row["review"]) <= self._rank(stored):
            return False
        nothing = {"label": None, "decided_by": None, "note": None, "decided_ms": None}
        connection.execute(sa.update(_REVIEWS).where(here).values(row | nothing))
        return True

    def _rank(self, stored: bytes) -> tuple[int, int]:
        return rank(self._decoded(stored))[:2]

    def _decoded(self, stored: bytes) -> Review:
        try:
            return Review.decode(stored)
        except InvalidMessage as error:
            raise SettingsError(f"{self._name} holds a review that this release cannot read: {error}") from None

    def _review(self, review_id: str) -> QueueItem:
        item = self.get(review_id)
        if item is None or item.review.review_id != review_id:
            raise DecisionRefused(f"there is no review {review_id!r}")
        return item

    def _items(self, query: sa.Select[Any]) -> list[QueueItem]:
        with self._transaction() as connection:
            return [self._item(row) for row in connection.execute(query)]

    def _item(self, row: sa.Row[Any]) -> QueueItem:
        review = self._decoded(row.review)
        if row.state == _WAITING:
            return QueueItem(review, row.added_ms, decision=None)
        if row.state == _AGAIN:
            return QueueItem(review, row.added_ms, None, Again(int(row.note), row.decided_by, row.decided_ms))
        outcome = outcome_of(review, row.label, row.decided_by, row.note, row.decided_ms)
        return QueueItem(review, row.added_ms, Decision(*outcome, sent=row.state == _SENT))

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
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
            raise TryAgain(f"{self._name} has no connection free") from error
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            if _passes(error):
                raise TryAgain(f"{self._name} is busy or unavailable: {reason}") from error
            raise SettingsError(f"{self._name} cannot be used: {reason}") from error

    def _prepare(self) -> None:
        """Create the tables in an empty database; refuse those of another version."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._backend.lock_schema)
            _SCHEMA.create(connection, checkfirst=True)
            version = connection.scalar(sa.select(sa.func.max(_SCHEMA.c.version)))
            if version is None:
                _METADATA.create_all(connection)
                connection.execute(_SCHEMA.insert().values(version=STORE_VERSION))
            elif version != STORE_VERSION:
                problem = f"{self._name} has schema version {version}, this release reads {STORE_VERSION}"
                raise SettingsError(f"{problem}: use the release that wrote it, or another store")

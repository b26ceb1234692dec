"""The review queue: doubtful tickets wait here for a reviewer, and decisions wait here until Kafka has them.

One row per review walks through three states: *waiting* -> *decided* -> *sent*. The step to *decided* is one conditional
UPDATE, so of two reviewers the database lets one win. A decision that is stored is not yet sent: it stays in ``unsent``
until its messages are marked as sent, so a crash repeats the sending, harmless by their ids. A correction takes a review
from *sent* back to *decided*. A waiting review whose ticket has come again with another text is *closed*.
One whose ticket is sent through again goes from *waiting* to *again*; if the run doubts it too, its review waits in another row.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from schemas import NEWEST, InvalidMessage, Review, WireFormat
from streams.errors import SettingsError, TryAgain
from streams.reviews.decision import AlreadyDecided, Decision, DecisionRefused, outcome_of
from streams.reviews.migrate import NewerStore, upgrade

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
    closed_by: str | None = None
    """Why nobody has to decide any more: ``superseded`` by a later text of the ticket, or a later run."""


@dataclass(frozen=True, slots=True)
class Hour:
    """How many reviews came and how many were decided since a moment, an hour ago for instance."""

    added: int
    decided: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many reviews wait and how many are decided, sent or not."""

    waiting: int
    decided: int
    oldest_ms: int | None = None
    """When the oldest of the waiting ones was stored, Unix time in milliseconds; None if none waits."""
    none_of_these: int = 0
    """How many of the decided ones fit no label."""
    closed: int = 0
    """How many ended without a decision, because their ticket came again."""


class _Utf8(sa.TypeDecorator[str]):
    """Any text that a message may hold, as bytes: PostgreSQL's own text refuses the NUL character."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> bytes | None:
        # surrogatepass: what a shell hands over may be no Unicode; it is then found nowhere, which is the right answer.
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: bytes | None, _dialect: sa.Dialect) -> str | None:
        return None if value is None else value.decode("utf-8", "surrogatepass")


_WAITING, _DECIDED, _SENT, _AGAIN, _CLOSED = "waiting", "decided", "sent", "again", "closed"
SUPERSEDED = "superseded"
#: As the migrations make it.
_REVIEWS = sa.Table(
    "hedgerow_reviews",
    sa.MetaData(),
    sa.Column("review_id", _Utf8, primary_key=True),
    sa.Column("ticket_id", _Utf8, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("uncertainty", sa.Double, nullable=False),
    sa.Column("added_ms", sa.BigInteger, nullable=False),
    sa.Column("review", sa.LargeBinary, nullable=False),
    sa.Column("label", _Utf8),
    sa.Column("decided_by", _Utf8),
    sa.Column("note", _Utf8),
    sa.Column("decided_ms", sa.BigInteger),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("run", sa.BigInteger, nullable=False),
    sa.Column("decisions", sa.BigInteger, nullable=False),
    sa.Column("closed_by", _Utf8),
)
_C = _REVIEWS.c
_QUEUE_ORDER = (_C.uncertainty.desc(), _C.added_ms, _C.review_id)


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


def _ended(item: QueueItem) -> DecisionRefused:
    """Return why there is no decision on this review to return or to correct."""
    ticket_id = item.review.ticket_id
    if item.again is not None:
        ends = "it ends on routed, or waits again"
        return DecisionRefused(f"ticket {ticket_id!r} was sent through again in run {item.again.run}: {ends}")
    if item.closed_by is not None:
        return DecisionRefused(f"ticket {ticket_id!r} has come again since: this review is closed")
    return DecisionRefused(f"ticket {ticket_id!r} is not decided yet: hedgerow review decide")


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
        """Store reviews in one transaction; return how many were new. One that was there before is left as it is.

        Of several texts or runs of a ticket only the latest goes on waiting.
        """
        now, reviews = self._wall_ms(), list(reviews)
        rows = [
            {
                "review_id": review.review_id,
                "ticket_id": review.ticket_id,
                "state": _WAITING,
                "uncertainty": review.uncertainty,
                "added_ms": now,
                "review": self._wire.encode(review),
                "revision": review.revision,
                "run": review.run,
                "decisions": 0,
            }
            # In one order everywhere: two workers with the same reviews cannot wait for each other's rows.
            for review in sorted(reviews, key=lambda review: review.review_id)
        ]
        if not rows:
            return 0
        tickets = {review.ticket_id for review in reviews}
        insert = self._backend.insert(_REVIEWS).on_conflict_do_nothing().returning(_C.review_id)
        with self._transaction() as connection:
            added = len(connection.execute(insert, rows).all())
            if added:
                self._close_earlier(connection, tickets)
            return added

    def close_superseded(self, turn_of: Callable[[str], tuple[int, int] | None]) -> int:
        """Close the waiting reviews whose ticket has a result of a later text or run, and return how many.

        ``turn_of`` returns the revision and the run of a ticket's result; None if there is none.
        """
        query = sa.select(_C.review_id, _C.ticket_id, _C.revision, _C.run).where(_C.state == _WAITING)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        earlier = [row.review_id for row in rows if (turn := turn_of(row.ticket_id)) and turn > (row.revision, row.run)]
        closed = 0
        for start in range(0, len(earlier), _PAGE):
            these = _C.review_id.in_(earlier[start : start + _PAGE])
            update = sa.update(_REVIEWS).where(these, _C.state == _WAITING)
            with self._transaction() as connection:
                closed += connection.execute(update.values(state=_CLOSED, closed_by=SUPERSEDED)).rowcount
        return closed

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
        latest = (_C.revision.desc(), _C.run.desc(), _C.added_ms.desc())
        found = sa.select(_REVIEWS).where(is_review | is_ticket).order_by(is_review.desc(), *latest)
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
        none_of_these = decided - sum(labelled for _, labelled, _ in ended)
        again = sum(rows.get(state, (0, 0, None))[0] for state in (_CLOSED, _AGAIN))
        return Counts(waiting, decided, oldest_ms, none_of_these, again)

    def hour(self, since_ms: int) -> Hour:
        """Return how many reviews came and how many were decided since then (Unix time, milliseconds)."""
        ended = _C.state.in_([_DECIDED, _SENT]) & (_C.decided_ms >= since_ms)
        count = sa.select(sa.func.count()).select_from(_REVIEWS)
        with self._transaction() as connection:
            added = connection.execute(count.where(_C.added_ms >= since_ms)).scalar_one()
            decided = connection.execute(count.where(ended)).scalar_one()
        return Hour(int(added), int(decided))

    def decide(self, review_id: str, label: str | None, by: str, note: str, at_ms: int) -> Decision:
        """Store what ``by`` decided at ``at_ms`` (Unix time, milliseconds) and return it, to be sent; None: no label fits.

        The same label by the same reviewer again returns the first decision. Raises AlreadyDecided if another one
        stands, and DecisionRefused for a review that is not here, an unknown label or an impossible value.
        """
        self._check_label(label)
        verdict, routed = outcome_of(self._review(review_id).review, label, by, note, at_ms)
        values = {
            "state": _DECIDED,
            "label": label,
            "decided_by": by,
            "note": note,
            "decided_ms": at_ms,
            "decisions": 1,
        }
        if self._advance(review_id, _C.state == _WAITING, values):
            return Decision(verdict, routed, sent=False)
        item = self._review(review_id)
        if item.decision is None:
            raise _ended(item)
        standing = item.decision
        if (standing.verdict.label, standing.verdict.decided_by) != (label, by):
            raise AlreadyDecided(standing)
        return standing

    def send_again(self, ticket_ids: Collection[str], again: Again) -> set[str]:
        """Close the reviews of tickets that are about to be sent through again, and return those that a reviewer decided.

        A decision stands until the run's result outranks it; no waiting review can be decided any more.
        """
        mine = _C.ticket_id.in_(list(ticket_ids))
        values = {"state": _AGAIN, "decided_by": again.by, "note": str(again.run), "decided_ms": again.at_ms}
        with self._transaction() as connection:
            connection.execute(sa.update(_REVIEWS).where(mine, _C.state.in_([_WAITING, _AGAIN])).values(values))
            return _decided(connection, ticket_ids)

    def decided(self, ticket_ids: Iterable[str]) -> set[str]:
        """Return those of these tickets whose latest review a reviewer has decided."""
        found: set[str] = set()
        left = iter(ticket_ids)
        while page := list(islice(left, _PAGE)):
            with self._transaction() as connection:
                found |= _decided(connection, page)
        return found

    def correct(self, review_id: str, label: str | None, by: str, note: str, at_ms: int) -> Decision:
        """Store a decision that replaces the one that stands, and return it, to be sent; None: no label fits.

        Raises DecisionRefused for a review that is not here or not decided, or whose decision has not been sent, for an
        unknown label or an impossible value.
        """
        self._check_label(label)
        item = self._review(review_id)
        if item.decision is None:
            raise _ended(item)
        if not item.decision.sent:
            raise DecisionRefused("the decision to correct has not been sent yet: hedgerow review resend")
        number = item.decision.verdict.decision
        verdict, routed = outcome_of(item.review, label, by, note, at_ms, number + 1)
        values = {"state": _DECIDED, "label": label, "decided_by": by, "note": note, "decided_ms": at_ms}
        # A decision from before decisions were numbered is number 0 there.
        standing = (_C.state == _SENT) & (_C.decisions.in_((0, 1)) if number == 1 else _C.decisions == number)
        if not self._advance(review_id, standing, values | {"decisions": number + 1}):
            raise DecisionRefused(f"ticket {item.review.ticket_id!r} was corrected by somebody else just now")
        return Decision(verdict, routed, sent=False)

    def unsent(self) -> list[Decision]:
        """Return the decisions whose messages may not have been sent, the oldest first."""
        items = self._items(sa.select(_REVIEWS).where(_C.state == _DECIDED).order_by(_C.decided_ms, _C.review_id))
        return [item.decision for item in items if item.decision is not None]

    def mark_sent(self, review_id: str) -> bool:
        """Note that the broker has acknowledged both messages; return False if nothing was left to note."""
        return self._advance(review_id, _C.state == _DECIDED, {"state": _SENT})

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._engine.dispose()

    def _close_earlier(self, connection: sa.Connection, tickets: Collection[str]) -> None:
        """Close the reviews of these tickets that wait although a later one is here."""
        later = _REVIEWS.alias("later")
        is_later = (later.c.revision > _C.revision) | (later.c.revision == _C.revision) & (later.c.run > _C.run)
        known = sa.exists().where(later.c.ticket_id == _C.ticket_id, is_later)
        waiting = sa.update(_REVIEWS).where(_C.state == _WAITING, _C.ticket_id.in_(tickets), known)
        connection.execute(waiting.values(state=_CLOSED, closed_by=SUPERSEDED))

    def _check_label(self, label: str | None) -> None:
        """Raise DecisionRefused for a label that no decision may name."""
        if label is None and self._wire.version == 1:
            raise DecisionRefused("version 1 of the messages has no result without a label: set messages.write: 2")
        if self._labels is not None and label is not None and label not in self._labels:
            raise DecisionRefused(f"there is no label {label!r}; there are: {', '.join(sorted(self._labels))}")

    def _advance(self, review_id: str, state: sa.ColumnElement[bool], values: dict[str, Any]) -> bool:
        """Write ``values`` if the review is in ``state``, and return whether it was: of two callers one receives True."""
        here = (_C.review_id == review_id) & state
        with self._transaction() as connection:
            return connection.execute(sa.update(_REVIEWS).where(here).values(values)).rowcount == 1

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
        if row.state in (_WAITING, _CLOSED):
            return QueueItem(review, row.added_ms, decision=None, closed_by=row.closed_by)
        if row.state == _AGAIN:
            return QueueItem(review, row.added_ms, None, Again(int(row.note), row.decided_by, row.decided_ms))
        outcome = outcome_of(review, row.label, row.decided_by, row.note, row.decided_ms, max(1, row.decisions))
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
        """Create the tables in an empty database, and bring older ones up to date; refuse those of a later release."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(self._backend.lock_schema)
            try:
                upgrade(connection)
            except NewerStore as error:
                raise SettingsError(f"{self._name}: {error}: use the release that wrote it, or another store") from None


def _decided(connection: sa.Connection, ticket_ids: Collection[str]) -> set[str]:
    turns = sa.select(_C.ticket_id, _C.state).where(_C.ticket_id.in_(list(ticket_ids))).order_by(_C.revision, _C.run)
    latest = {row.ticket_id: row.state for row in connection.execute(turns)}
    return {ticket_id for ticket_id, state in latest.items() if state in (_DECIDED, _SENT)}

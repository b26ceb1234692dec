"""The review queue: doubtful tickets wait here for a reviewer, and decisions wait here until Kafka has them.

One row per review walks through three states: *waiting* -> *decided* -> *sent*. The step to *decided* is one conditional
UPDATE, so of two reviewers the database lets one win. A decision that is stored is not yet sent: it stays in ``unsent``
until its messages are marked as sent. A sender takes those that are due, so of two senders the database lets one send each; who takes
one over that its sender has left looks first whether the topics have it. One that can be undone until
some moment is due then; who takes it ends the undoing. A correction takes a review
from *sent* back to *decided*. A waiting review whose ticket has come again with another text is *closed*.
One whose ticket is sent through again goes from *waiting* to *again*; if the run doubts it too, its review waits in another row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa

from schemas import NEWEST, InvalidMessage, Review, Routed, Ticket, Verdict, WireFormat
from streams.errors import SettingsError
from streams.reviews import claims, journal, kept_counts
from streams.reviews.claims import Claim
from streams.reviews.database import Database
from streams.reviews.decision import AlreadyDecided, Decision, DecisionRefused, outcome_of, review_of
from streams.reviews.facets import facets, index_texts
from streams.reviews.journal import Action, Entry
from streams.reviews.tables import CLAIMS, REVIEWS

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Again:
    """Which run a review's ticket was sent through again with, by whom and when (Unix time, milliseconds)."""

    run: int
    by: str
    at_ms: int
    is_sent: bool = True
    """Whether the broker is known to have it: a run that was killed leaves some of which it is not."""


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
    undo_until_ms: int | None = None
    """Until when the decision can be undone; None once it may be sent."""

    @property
    def is_open(self) -> bool:
        """Whether it waits for a decision."""
        return self.decision is None and self.again is None and self.closed_by is None


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


class Claimed(DecisionRefused):
    """Somebody else has the review open; ``claim`` says who, and until when."""

    def __init__(self, ticket_id: str, claim: Claim) -> None:
        super().__init__(f"{claim.name!r} has ticket {ticket_id!r} open")
        self.claim = claim


WAITING, _DECIDED, _SENT, _AGAIN, _CLOSED = "waiting", "decided", "sent", "again", "closed"
#: All of them: an index by state and moment is then of use to whoever asks for a moment alone.
_STATES = (WAITING, _DECIDED, _SENT, _AGAIN, _CLOSED)
SUPERSEDED = "superseded"
#: In place of why it was closed: a run is about to send the ticket.
_UNSENT = "unsent"
_C = REVIEWS.c
#: What a later text or run of its ticket closes.
_CAN_BE_OVERTAKEN = (_C.state == WAITING) | (_C.state == _AGAIN) & (_C.closed_by == _UNSENT)
_CAN_BE_UNDONE = _C.due_ms.is_not(None) & (_C.due_ms > _C.decided_ms)
#: How long a decision is left to the sender that took it, milliseconds, unless it says that it is still at it.
HELD_FOR_MS = 10_000
QUEUE_ORDER = (_C.uncertainty.desc(), _C.added_ms, _C.review_id)


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
        self._database = Database(url)
        self._labels = labels
        self._wire = wire
        self._wall_ms = wall_ms

    @property
    def database(self) -> Database:
        """The database, which holds claims and journal too."""
        return self._database

    @property
    def is_there(self) -> bool:
        """Whether there is a database to read, which SQLite would else create."""
        return self._database.is_there

    def add(self, review: Review) -> bool:
        """Store one review durably; return False if it was there before, waiting or decided."""
        return self.add_all([review]) == 1

    def add_all(self, reviews: Iterable[Review]) -> int:
        """Store reviews in one transaction; return how many were new. One that was there before is left as it is.

        Of several texts or runs of a ticket only the latest goes on waiting.
        """
        reviews = list(reviews)
        if not reviews:
            return 0
        with self._database.transaction() as connection:
            return self._insert(connection, reviews)

    def _insert(self, connection: sa.Connection, reviews: Sequence[Review]) -> int:
        now = self._wall_ms()
        rows = [
            {
                "review_id": review.review_id,
                "ticket_id": review.ticket_id,
                "state": WAITING,
                "uncertainty": review.uncertainty,
                "added_ms": now,
                "review": self._wire.encode_to_keep(review),
                "revision": review.revision,
                "run": review.run,
                "decisions": 0,
                **facets(review),
            }
            # In one order everywhere: two workers with the same reviews cannot wait for each other's rows.
            for review in sorted(reviews, key=lambda review: review.review_id)
        ]
        insert = self._database.insert(REVIEWS).on_conflict_do_nothing().returning(_C.review_id)
        added = {row.review_id for row in connection.execute(insert, rows)}
        if added:
            index_texts(connection, {one.review_id: one for one in reviews if one.review_id in added})
            self._close_earlier(connection, {review.ticket_id for review in reviews})
        return len(added)

    def close_superseded(self, turn_of: Callable[[str], tuple[int, int] | None]) -> int:
        """Close the waiting reviews whose ticket has a result of a later text or run, and return how many.

        ``turn_of`` returns the revision and the run of a ticket's result; None if there is none.
        """
        query = sa.select(_C.review_id, _C.ticket_id, _C.revision, _C.run).where(_CAN_BE_OVERTAKEN)
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        earlier = [row.review_id for row in rows if (turn := turn_of(row.ticket_id)) and turn > (row.revision, row.run)]
        closed = 0
        for start in range(0, len(earlier), _PAGE):
            these = _C.review_id.in_(earlier[start : start + _PAGE])
            update = sa.update(REVIEWS).where(these, _CAN_BE_OVERTAKEN)
            with self._database.transaction() as connection:
                closed += connection.execute(update.values(state=_CLOSED, closed_by=SUPERSEDED)).rowcount
        return closed

    def waiting(self, limit: int, offset: int = 0) -> list[QueueItem]:
        """Return undecided reviews, the most uncertain first, of equals the oldest."""
        queue = sa.select(REVIEWS).where(_C.state == WAITING).order_by(*QUEUE_ORDER)
        return self.items(queue.limit(limit).offset(offset))

    def each(self) -> Iterator[QueueItem]:
        """Yield every review, waiting or decided, a page at a time."""
        last = ""
        while page := self.items(sa.select(REVIEWS).where(_C.review_id > last).order_by(_C.review_id).limit(_PAGE)):
            yield from page
            last = page[-1].review.review_id

    def get(self, ticket_id_or_review_id: str) -> QueueItem | None:
        """Return the review with this id, else the latest one of the ticket with this id, else None."""
        is_review, is_ticket = _C.review_id == ticket_id_or_review_id, _C.ticket_id == ticket_id_or_review_id
        latest = (_C.revision.desc(), _C.run.desc(), _C.added_ms.desc())
        found = sa.select(REVIEWS).where(is_review | is_ticket).order_by(is_review.desc(), *latest)
        return next(iter(self.items(found.limit(1))), None)

    def texts_of(self, ticket_id: str) -> set[str]:
        """Return the texts of a ticket's reviews."""
        return {item.review.ticket.text for item in self.items(sa.select(REVIEWS).where(_C.ticket_id == ticket_id))}

    def counts(self) -> Counts:
        """Return how many reviews wait, since when, and how many are decided."""
        oldest = sa.select(sa.func.min(_C.added_ms)).where(_C.state == WAITING)
        with self._database.transaction() as connection:
            kept = kept_counts.kept(connection)
            oldest_ms = connection.execute(oldest).scalar()

        def total(*states: str) -> int:
            return sum(count for (state, _), count in kept.items() if state in states)

        none_of_these = sum(kept.get((state, False), 0) for state in (_DECIDED, _SENT))
        return Counts(total(WAITING), total(_DECIDED, _SENT), oldest_ms, none_of_these, total(_CLOSED, _AGAIN))

    def hour(self, since_ms: int) -> Hour:
        """Return how many reviews came and how many were decided since then (Unix time, milliseconds)."""
        came = _C.state.in_(_STATES) & (_C.added_ms >= since_ms)
        ended = _C.state.in_([_DECIDED, _SENT]) & (_C.decided_ms >= since_ms)
        count = sa.select(sa.func.count()).select_from(REVIEWS)
        with self._database.transaction() as connection:
            added = connection.execute(count.where(came)).scalar_one()
            decided = connection.execute(count.where(ended)).scalar_one()
        return Hour(int(added), int(decided))

    def decide(
        self, review_id: str, label: str | None, by: str, note: str, at_ms: int, *, undo_ms: int = 0
    ) -> Decision:
        """Store what ``by`` decided at ``at_ms`` (Unix time, milliseconds) and return it, to be sent; None: no label fits.

        For ``undo_ms`` it can be undone, and is not sent. The same label by the same reviewer again returns the first
        decision. Raises AlreadyDecided if another one stands, Claimed if somebody else has the review open, and
        DecisionRefused for a review that is not here, an unknown label or an impossible value.
        """
        self.check_label(label)
        review = self._review(review_id).review
        verdict, routed = outcome_of(review, label, by, note, at_ms)
        values = _decision(label, by, note, at_ms, 1, undo_ms)
        free = (_C.state == WAITING) & ~claims.held_by_other(by, at_ms)
        with self._database.transaction() as connection:
            if advance(connection, review_id, free, values):
                _note(connection, Action.DECIDE, verdict)
                claims.release(connection, review_id)
                return Decision(verdict, routed, sent=False)
            claim = claims.held(connection, [review_id], at_ms).get(review_id)
        item = self._review(review_id)
        if item.decision is None:
            if claim is not None and claim.name != by and item.is_open:
                raise Claimed(review.ticket_id, claim)
            raise _ended(item)
        standing = item.decision
        if (standing.verdict.label, standing.verdict.decided_by) != (label, by):
            raise AlreadyDecided(standing)
        return standing

    def undo(self, review_id: str, by: str, at_ms: int) -> QueueItem:
        """Take back what ``by`` decided and return the review, which waits again.

        Raises DecisionRefused for a decision that is not theirs, or that can no longer be undone.
        """
        nothing = dict.fromkeys(("label", "decided_by", "note", "decided_ms", "due_ms"))
        with self._database.transaction() as connection:
            undone = advance(connection, review_id, _undoable(by, at_ms), {"state": WAITING, "decisions": 0, **nothing})
            if undone:
                [row] = connection.execute(sa.select(_C.ticket_id).where(_C.review_id == review_id)).all()
                journal.write(connection, Entry(at_ms, by, Action.UNDO, review_id, row.ticket_id))
                self._close_earlier(connection, [row.ticket_id])
        if not undone:
            raise DecisionRefused("there is nothing to undo: the decision is on its way, or it is not yours")
        return self._review(review_id)

    def undoable(self, by: str, at_ms: int) -> QueueItem | None:
        """Return the latest of the decisions that ``by`` can still undo; None if there is none."""
        query = sa.select(REVIEWS).where(_undoable(by, at_ms)).order_by(_C.decided_ms.desc(), _C.review_id).limit(1)
        return next(iter(self.items(query)), None)

    def next_due_ms(self) -> int | None:
        """Return when the next decision that no sender has taken is due, Unix time in milliseconds."""
        due = sa.select(sa.func.min(_C.due_ms)).where(_C.state == _DECIDED, _C.due_ms >= 0)
        with self._database.transaction() as connection:
            return connection.execute(due).scalar()

    def together(self, review_id: str, by: str) -> list[str]:
        """Return the reviews that ``by`` decided at the same moment as this one and can still undo, itself among them."""
        same = REVIEWS.alias("same")
        query = sa.select(_C.review_id).where(
            same.c.review_id == review_id,
            _C.decided_ms == same.c.decided_ms,
            _C.decided_by == by,
            _C.state == _DECIDED,
            _CAN_BE_UNDONE,
        )
        with self._database.transaction() as connection:
            return [row.review_id for row in connection.execute(query)]

    def send_again(self, ticket_ids: Collection[str], again: Again) -> set[str]:
        """Close the reviews of tickets that are about to be sent through again, and return those that a reviewer decided.

        A decision stands until the run's result outranks it; no waiting review can be decided any more.
        """
        mine = _C.ticket_id.in_(list(ticket_ids))
        values = {
            "state": _AGAIN,
            "decided_by": again.by,
            "note": str(again.run),
            "decided_ms": again.at_ms,
            "closed_by": _UNSENT,
        }
        with self._database.transaction() as connection:
            connection.execute(sa.update(REVIEWS).where(mine, _C.state.in_([WAITING, _AGAIN])).values(values))
            return _decided(connection, ticket_ids)

    def sent_again(self, ticket_ids: Collection[str], run: int) -> None:
        """Note that the broker has these tickets again, in this run."""
        here = _C.ticket_id.in_(list(ticket_ids)) & (_C.state == _AGAIN) & (_C.note == str(run))
        with self._database.transaction() as connection:
            connection.execute(sa.update(REVIEWS).where(here).values(closed_by=None))

    def unfinished(self) -> list[QueueItem]:
        """Return the reviews whose tickets a run was about to send, and is not known to have sent."""
        unsent = (_C.state == _AGAIN) & (_C.closed_by == _UNSENT)
        return self.items(sa.select(REVIEWS).where(unsent).order_by(*QUEUE_ORDER))

    def decided(self, ticket_ids: Iterable[str]) -> set[str]:
        """Return those of these tickets whose latest review a reviewer has decided."""
        found: set[str] = set()
        left = iter(ticket_ids)
        while page := list(islice(left, _PAGE)):
            with self._database.transaction() as connection:
                found |= _decided(connection, page)
        return found

    def correct(self, review_id: str, label: str | None, by: str, note: str, at_ms: int) -> Decision:
        """Store a decision that replaces the one that stands, and return it, to be sent; None: no label fits.

        Raises DecisionRefused for a review that is not here or not decided, or whose decision has not been sent, for an
        unknown label or an impossible value.
        """
        self.check_label(label)
        item = self._review(review_id)
        if item.decision is None:
            raise _ended(item)
        if not item.decision.sent:
            raise DecisionRefused("the decision to correct has not been sent yet: hedgerow review resend")
        number = item.decision.verdict.decision
        verdict, routed = outcome_of(item.review, label, by, note, at_ms, number + 1)
        values = _decision(label, by, note, at_ms, number + 1)
        standing = (_C.state == _SENT) & _is_number(number)
        with self._database.transaction() as connection:
            if not advance(connection, review_id, standing, values):
                raise DecisionRefused(f"ticket {item.review.ticket_id!r} was corrected by somebody else just now")
            _note(connection, Action.CORRECT, verdict)
        return Decision(verdict, routed, sent=False)

    def correct_result(
        self, result: Routed, ticket: Ticket, label: str | None, by: str, note: str, at_ms: int
    ) -> Decision:
        """Store a decision that replaces a result which was in no review here, and return it, to be sent; None: no label fits.

        Raises DecisionRefused if there is a review of it by now, for an unknown label or an impossible value.
        """
        self.check_label(label)
        review, number = review_of(result, ticket), result.decision + 1
        verdict, routed = outcome_of(review, label, by, note, at_ms, number)
        values = _decision(label, by, note, at_ms, number)
        with self._database.transaction() as connection:
            if not self._insert(connection, [review]):
                raise DecisionRefused(
                    f"ticket {ticket.ticket_id!r} has a review by now: look with hedgerow review show"
                )
            advance(connection, review.review_id, _C.state == WAITING, values)
            _note(connection, Action.CORRECT, verdict)
        return Decision(verdict, routed, sent=False)

    def take_due(self) -> tuple[set[str], set[str]]:
        """Return the reviews whose decisions the caller is to send from now on: of several callers one receives each.

        First those that are due, which can no longer be undone; then those that another sender took and neither noted as sent
        nor held for ``HELD_FOR_MS``: it may have sent them before it ended.
        """
        now = self._wall_ms()
        due = (_C.due_ms >= 0) & ((_C.due_ms <= now) | (_C.due_ms <= _C.decided_ms))
        left = _C.due_ms.is_(None) | (_C.due_ms < 0) & (_C.due_ms > -now + HELD_FOR_MS)
        with self._database.transaction() as connection:
            return _take(connection, due, now), _take(connection, left, now)

    def hold(self, reviews: Collection[str]) -> None:
        """Note that the caller is still at sending the decisions of these reviews."""
        self._set_taken(reviews, -self._wall_ms())

    def leave(self, reviews: Collection[str]) -> None:
        """Leave the decisions of these reviews, which the caller took, to any sender at once."""
        self._set_taken(reviews, None)

    def _set_taken(self, reviews: Collection[str], due_ms: int | None) -> None:
        taken = sa.update(REVIEWS).where(_C.state == _DECIDED, _C.due_ms < 0, _C.review_id.in_(reviews))
        with self._database.transaction() as connection:
            connection.execute(taken.values(due_ms=due_ms))

    def unsent(self) -> list[Decision]:
        """Return the decisions that are not noted as sent, the oldest first, without those that can be undone now."""
        to_send = ~_CAN_BE_UNDONE | (_C.due_ms <= self._wall_ms())
        items = self.items(
            sa.select(REVIEWS).where(_C.state == _DECIDED, to_send).order_by(_C.decided_ms, _C.review_id)
        )
        return [item.decision for item in items if item.decision is not None]

    def mark_sent(self, review_id: str, number: int = 1) -> bool:
        """Note that the broker has acknowledged both messages of a decision; return False if nothing was left to note.

        ``number`` says which decision on the review: a correction of it is not sent by that.
        """
        here = (_C.state == _DECIDED) & ~_CAN_BE_UNDONE & _is_number(number)
        with self._database.transaction() as connection:
            return advance(connection, review_id, here, {"state": _SENT, "due_ms": None})

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._database.close()

    def _close_earlier(self, connection: sa.Connection, tickets: Collection[str]) -> None:
        """Close the reviews of these tickets that wait although a later one is here."""
        later = REVIEWS.alias("later")
        is_later = (later.c.revision > _C.revision) | (later.c.revision == _C.revision) & (later.c.run > _C.run)
        known = sa.exists().where(later.c.ticket_id == _C.ticket_id, is_later)
        waiting = sa.update(REVIEWS).where(_CAN_BE_OVERTAKEN, _C.ticket_id.in_(tickets), known)
        connection.execute(waiting.values(state=_CLOSED, closed_by=SUPERSEDED))

    def check_label(self, label: str | None) -> None:
        """Raise DecisionRefused for a label that no decision may name."""
        if label is None and self._wire.version == 1:
            raise DecisionRefused("version 1 of the messages has no result without a label: set messages.write: 2")
        if self._labels is not None and label is not None and label not in self._labels:
            raise DecisionRefused(f"there is no label {label!r}; there are: {', '.join(sorted(self._labels))}")

    def _decoded(self, stored: bytes) -> Review:
        try:
            return Review.decode(stored)
        except InvalidMessage as error:
            raise SettingsError(
                f"{self._database.name} holds a review that this release cannot read: {error}"
            ) from None

    def _review(self, review_id: str) -> QueueItem:
        item = self.get(review_id)
        if item is None or item.review.review_id != review_id:
            raise DecisionRefused(f"there is no review {review_id!r}")
        return item

    def items(self, query: sa.Select[Any]) -> list[QueueItem]:
        """Return the reviews of a query over whole rows of the table."""
        with self._database.transaction() as connection:
            return [self._item(row) for row in connection.execute(query)]

    def _item(self, row: sa.Row[Any]) -> QueueItem:
        review = self._decoded(row.review)
        if row.state in (WAITING, _CLOSED):
            return QueueItem(review, row.added_ms, decision=None, closed_by=row.closed_by)
        if row.state == _AGAIN:
            again = Again(int(row.note), row.decided_by, row.decided_ms, is_sent=row.closed_by is None)
            return QueueItem(review, row.added_ms, None, again)
        outcome = outcome_of(review, row.label, row.decided_by, row.note, row.decided_ms, max(1, row.decisions))
        decision = Decision(*outcome, sent=row.state == _SENT)
        return QueueItem(review, row.added_ms, decision, undo_until_ms=_undo_until_ms(row))


def _decision(
    label: str | None, by: str, note: str, at_ms: int, number: int, undo_ms: int = 0
) -> dict[str, str | int | None]:
    """Return what a row says of the ``number``-th decision on its review."""
    return {
        "state": _DECIDED,
        "label": label,
        "decided_by": by,
        "note": note,
        "decided_ms": at_ms,
        "decisions": number,
        "due_ms": at_ms + undo_ms,
    }


def _undoable(by: str, at_ms: int) -> sa.ColumnElement[bool]:
    return (_C.state == _DECIDED) & (_C.decided_by == by) & _CAN_BE_UNDONE & (_C.due_ms > at_ms)


def _take(connection: sa.Connection, which: sa.ColumnElement[bool], now_ms: int) -> set[str]:
    taken = sa.update(REVIEWS).where(_C.state == _DECIDED, which).values(due_ms=-now_ms).returning(_C.review_id)
    return set(connection.execute(taken).scalars())


def advance(connection: sa.Connection, review_id: str, state: sa.ColumnElement[bool], values: dict[str, Any]) -> bool:
    """Write ``values`` if the review is in ``state``, and return whether it was: of two callers one receives True."""
    here = (_C.review_id == review_id) & state
    return connection.execute(sa.update(REVIEWS).where(here).values(values)).rowcount == 1


def _undo_until_ms(row: sa.Row[Any]) -> int | None:
    return None if row.due_ms is None or row.due_ms <= row.decided_ms else row.due_ms


def _is_number(number: int) -> sa.ColumnElement[bool]:
    """Return the condition that the decision is this one; one from before decisions were numbered has number 0 there."""
    return _C.decisions.in_((0, 1)) if number == 1 else _C.decisions == number


def _note(connection: sa.Connection, action: Action, verdict: Verdict) -> None:
    """Write a decision into the journal, with how long its reviewer had the ticket open."""
    open_since = sa.select(CLAIMS.c.since_ms).where(
        CLAIMS.c.review_id == verdict.review_id, CLAIMS.c.name == verdict.decided_by
    )
    since_ms = connection.execute(open_since).scalar()
    entry = Entry(
        verdict.at_ms,
        verdict.decided_by,
        action,
        verdict.review_id,
        verdict.ticket_id,
        verdict.label,
        verdict.note,
        None if since_ms is None else max(0, verdict.at_ms - since_ms),
    )
    journal.write(connection, entry)


def _decided(connection: sa.Connection, ticket_ids: Collection[str]) -> set[str]:
    turns = sa.select(_C.ticket_id, _C.state).where(_C.ticket_id.in_(list(ticket_ids))).order_by(_C.revision, _C.run)
    latest = {row.ticket_id: row.state for row in connection.execute(turns)}
    return {ticket_id for ticket_id, state in latest.items() if state in (_DECIDED, _SENT)}

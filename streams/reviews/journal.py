"""The journal of the review store: who did what and when, which is history of a review and audit log in one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from streams.reviews.database import Database
from streams.reviews.tables import JOURNAL

_C = JOURNAL.c
#: What is kept of a detail, which may come from outside.
_MAX_DETAIL = 4_000


class Action(StrEnum):
    """What somebody did."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    REFUSED = "refused"
    """Something that the role does not allow, or a form without its token."""
    OPEN = "open"
    """A ticket was opened, and claimed by that."""
    DECIDE = "decide"
    UNDO = "undo"
    CORRECT = "correct"
    SKIP = "skip"
    FLAG = "flag"
    UNFLAG = "unflag"
    ASK = "ask"
    """A second opinion was asked for."""
    OPINION = "opinion"
    """A second opinion was given."""
    UPHOLD = "uphold"
    """A lead let the first decision stand after two reviewers disagreed."""
    ACKNOWLEDGE = "acknowledge"
    REDRIVE = "redrive"
    DISCARD = "discard"
    FORGET_EXAMPLE = "forget_example"
    """Labelled tickets were taken out of the memory."""
    FORGET = "forget"
    """A ticket was forgotten: which one is forgotten too."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    at_ms: int
    """Unix time, milliseconds."""
    name: str
    """Who did it."""
    action: str
    review_id: str | None = None
    """The review, or the alert, that it was done to."""
    ticket_id: str | None = None
    label: str | None = None
    detail: str = ""
    """A note, an address, or what it was done to."""
    took_ms: int | None = None
    """How long the ticket was open before it was decided; None if it was not opened at the desk."""


def write(connection: sa.Connection, *entries: Entry) -> None:
    """Add entries in the connection's transaction: they are there if and only if what they tell is."""
    rows = [
        {
            "at_ms": each.at_ms,
            "name": each.name,
            "action": str(each.action),
            "review_id": each.review_id,
            "ticket_id": each.ticket_id,
            "label": each.label,
            "detail": each.detail[:_MAX_DETAIL],
            "took_ms": each.took_ms,
        }
        for each in entries
    ]
    if rows:
        connection.execute(JOURNAL.insert(), rows)


class Journal:
    """Reads and writes the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: Entry) -> None:
        """Add what happened outside any other transaction."""
        with self._database.transaction() as connection:
            write(connection, entry)

    def of_review(self, review_id: str) -> list[Entry]:
        """Return what happened to a review, the first first."""
        return self._entries(sa.select(JOURNAL).where(_C.review_id == review_id).order_by(_C.id))

    def latest(self, limit: int, *, name: str = "", action: str = "", before: int | None = None) -> list[Entry]:
        """Return the latest entries, the last first: by one person, of one action, before a moment (Unix time, ms)."""
        query = sa.select(JOURNAL).order_by(_C.id.desc()).limit(limit)
        if name:
            query = query.where(_C.name == name)
        if action:
            query = query.where(_C.action == action)
        if before is not None:
            query = query.where(_C.at_ms < before)
        return self._entries(query)

    def count(self, action: Action, since_ms: int, *, name: str | None = None, detail: str | None = None) -> int:
        """Return how often something was done since then (Unix time, ms), by this name and with this detail."""
        query = sa.select(sa.func.count()).select_from(JOURNAL).where(_C.action == str(action), _C.at_ms >= since_ms)
        if name is not None:
            query = query.where(_C.name == name)
        if detail is not None:
            query = query.where(_C.detail == detail)
        with self._database.transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def acknowledged(self, alert_ids: Collection[str]) -> dict[str, Entry]:
        """Return who has acknowledged which of these alerts first."""
        query = sa.select(JOURNAL).where(_C.action == str(Action.ACKNOWLEDGE), _C.review_id.in_(list(alert_ids)))
        entries = self._entries(query.order_by(_C.id.desc())) if alert_ids else []
        return {entry.review_id: entry for entry in entries if entry.review_id is not None}

    def decided(self, since_ms: int) -> list[tuple[str, int, float | None]]:
        """Return who has decided how many tickets since then (Unix time, ms), and how long one was open on average, ms.

        Decisions that were undone do not count.
        """
        decided = sa.case((_C.action == str(Action.UNDO), -1), else_=1)
        query = (
            sa.select(_C.name, sa.func.sum(decided), sa.func.avg(_C.took_ms))
            .where(_C.action.in_([str(Action.DECIDE), str(Action.UNDO)]), _C.at_ms >= since_ms)
            .group_by(_C.name)
        )
        with self._database.transaction() as connection:
            rows = [(name, int(count), took) for name, count, took in connection.execute(query)]
        found = [(name, count, None if took is None else float(took)) for name, count, took in rows if count > 0]
        return sorted(found, key=lambda row: -row[1])

    def last_id(self) -> int:
        """Return a number that grows with every entry."""
        with self._database.transaction() as connection:
            return int(connection.execute(sa.select(sa.func.max(_C.id))).scalar() or 0)

    def _entries(self, query: sa.Select[tuple[object, ...]]) -> list[Entry]:
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return [
            Entry(
                row.at_ms, row.name, row.action, row.review_id, row.ticket_id, row.label, row.detail, row.took_ms
            )
            for row in rows
        ]  # fmt: skip

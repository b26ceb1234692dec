"""Claims: who has a review open. A claim ends by itself, so that nothing waits for a reviewer who is gone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from streams.reviews import journal
from streams.reviews.database import Database
from streams.reviews.journal import Action, Entry
from streams.reviews.tables import CLAIMS, REVIEWS

_C = CLAIMS.c


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a review open, since when and until when (Unix time, milliseconds)."""

    name: str
    since_ms: int
    until_ms: int


def held_by_other(name: str, at_ms: int) -> sa.ColumnElement[bool]:
    """Return the condition on a review that somebody else has it open at that moment."""
    return sa.exists().where(_C.review_id == REVIEWS.c.review_id, _C.name != name, _C.until_ms > at_ms)


def held(connection: sa.Connection, review_ids: Collection[str], at_ms: int) -> dict[str, Claim]:
    """Return the claims on these reviews that have not ended at that moment, by review id."""
    query = sa.select(CLAIMS).where(_C.review_id.in_(list(review_ids)), _C.until_ms > at_ms)
    rows = connection.execute(query).all()
    return {row.review_id: Claim(row.name, row.since_ms, row.until_ms) for row in rows}


def release(connection: sa.Connection, review_id: str) -> None:
    """End the claim on a review, whoever's it is."""
    connection.execute(sa.delete(CLAIMS).where(_C.review_id == review_id))


class Claims:
    """Takes, shows and ends claims, for any number of desks on one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, review_id: str, name: str, at_ms: int, until_ms: int) -> Claim:
        """Claim a review for ``name``, and return the claim that holds: somebody else's if theirs has not ended.

        One's own claim is prolonged, and remembers since when. A new one is written into the journal.
        """
        insert = self._database.insert(CLAIMS).values(review_id=review_id, name=name, since_ms=at_ms, until_ms=until_ms)
        new = insert.excluded
        going_on = (_C.name == new.name) & (_C.until_ms > at_ms)
        upsert = insert.on_conflict_do_update(
            index_elements=[_C.review_id],
            set_={
                "name": new.name,
                "since_ms": sa.case((going_on, _C.since_ms), else_=new.since_ms),
                "until_ms": new.until_ms,
            },
            where=(_C.name == new.name) | (_C.until_ms <= at_ms),
        ).returning(_C.name, _C.since_ms, _C.until_ms)
        with self._database.transaction() as connection:
            row = connection.execute(upsert).first()
            if row is None:
                row = connection.execute(
                    sa.select(_C.name, _C.since_ms, _C.until_ms).where(_C.review_id == review_id)
                ).one()
            elif row.since_ms == at_ms:
                ticket_id = connection.execute(
                    sa.select(REVIEWS.c.ticket_id).where(REVIEWS.c.review_id == review_id)
                ).scalar()
                journal.write(connection, Entry(at_ms, name, Action.OPEN, review_id, ticket_id))
        return Claim(row.name, row.since_ms, row.until_ms)

    def release(self, review_id: str, name: str, *, until_ms: int | None = None) -> None:
        """End the reviewer's claim on a review, if it is theirs, and if a moment is given, only if it ends then."""
        mine = (_C.review_id == review_id) & (_C.name == name)
        if until_ms is not None:
            mine &= _C.until_ms == until_ms
        with self._database.transaction() as connection:
            connection.execute(sa.delete(CLAIMS).where(mine))

    def release_all(self, name: str) -> None:
        """End every claim of a reviewer who leaves."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(CLAIMS).where(_C.name == name))

    def held(self, review_ids: Collection[str], at_ms: int) -> dict[str, Claim]:
        """Return the claims on these reviews that have not ended at that moment, by review id."""
        if not review_ids:
            return {}
        with self._database.transaction() as connection:
            return held(connection, review_ids, at_ms)

    def pulse(self, at_ms: int) -> tuple[int, int]:
        """Return two numbers that change when a claim is taken, prolonged or ends."""
        query = sa.select(sa.func.count(), sa.func.max(_C.until_ms)).where(_C.until_ms > at_ms)
        with self._database.transaction() as connection:
            count, until = connection.execute(query).one()
        return int(count), int(until or 0)

    def forget_ended(self, at_ms: int) -> None:
        """Drop the claims that have ended, which hold nothing."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(CLAIMS).where(_C.until_ms <= at_ms))

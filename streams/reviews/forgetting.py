"""Forgets a ticket in the review store: its reviews, open or decided, and all that was written about them.

What remains is that somebody did something at some time: the journal keeps its entries, without ids, labels and notes.
"""

from __future__ import annotations

import sqlalchemy as sa

from streams.errors import TryAgain
from streams.reviews import journal
from streams.reviews.database import Database
from streams.reviews.journal import Action, Entry
from streams.reviews.tables import CLAIMS, JOURNAL, MARKS, OPINIONS, REVIEWS, TEXTS, count_rows, short_name

_OF_REVIEWS = (CLAIMS, MARKS, OPINIONS, TEXTS, REVIEWS)


def forget_ticket(database: Database, ticket_id: str, by: str, at_ms: int, *, dry_run: bool = False) -> dict[str, int]:
    """Forget a ticket in the name of ``by`` at ``at_ms`` (Unix time, milliseconds); return how many rows of which table had it.

    With ``dry_run`` they are only counted. Raises what a transaction raises, and TryAgain if another process reads SQLite's
    file for so long that what was forgotten is still in it.
    """
    counts = _forget_rows(database, ticket_id, by, at_ms, dry_run=dry_run)
    if database.is_sqlite and not dry_run:
        _clear_file(database)
    return counts


def _forget_rows(database: Database, ticket_id: str, by: str, at_ms: int, *, dry_run: bool) -> dict[str, int]:
    with database.transaction() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA secure_delete = ON")  # else what is deleted stays in the file
        mine = sa.select(REVIEWS.c.review_id).where(REVIEWS.c.ticket_id == ticket_id)
        review_ids = [row.review_id for row in connection.execute(mine)]
        told = (JOURNAL.c.ticket_id == ticket_id) | JOURNAL.c.review_id.in_(review_ids)
        counts = {short_name(JOURNAL): count_rows(connection, JOURNAL, told)}
        for table in _OF_REVIEWS:
            counts[short_name(table)] = count_rows(connection, table, table.c.review_id.in_(review_ids))
        if dry_run or not any(counts.values()):
            return counts
        nothing = {"review_id": None, "ticket_id": None, "label": None, "detail": ""}
        connection.execute(sa.update(JOURNAL).where(told).values(nothing))
        for table in _OF_REVIEWS:
            connection.execute(sa.delete(table).where(table.c.review_id.in_(review_ids)))
        journal.write(connection, Entry(at_ms, by, Action.FORGET))
        if database.is_sqlite:
            # An FTS5 table only marks what is deleted, until its parts are merged.
            connection.exec_driver_sql("INSERT INTO hedgerow_texts(hedgerow_texts) VALUES ('optimize')")
    return counts


def _clear_file(database: Database) -> None:
    """Have SQLite's files hold what the store does: the log beside the store has what was deleted from it until then.

    It is done though no row was found: an earlier call may have got no further.
    """
    with database.transaction() as connection:
        is_busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
    if is_busy:
        raise TryAgain(f"another process reads the {database.name}: until it ends, its file holds what was forgotten")

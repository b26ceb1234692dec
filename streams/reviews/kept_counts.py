"""How many reviews are in which state, as the database keeps it: to count a million takes seconds."""

from __future__ import annotations

import sqlalchemy as sa

from streams.reviews.tables import COUNTS

_C = COUNTS.c
#: PostgreSQL keeps a row for each change; beyond this many they are added up.
_MANY = 1_000


def kept(connection: sa.Connection) -> dict[tuple[str, bool], int]:
    """Return how many reviews there are of each state, with a label and without."""
    query = sa.select(_C.state, _C.labelled, sa.func.sum(_C.change), sa.func.count()).group_by(_C.state, _C.labelled)
    rows = connection.execute(query).all()
    if sum(changes for *_, changes in rows) > _MANY:
        _add_up(connection)
    return {(state, bool(labelled)): int(count) for state, labelled, count, _ in rows}


def _add_up(connection: sa.Connection) -> None:
    """Put one row in the place of many: in one statement, and two at once take different rows."""
    gone = sa.delete(COUNTS).returning(_C.state, _C.labelled, _C.change).cte("gone")
    sums = sa.select(gone.c.state, gone.c.labelled, sa.func.sum(gone.c.change)).group_by(gone.c.state, gone.c.labelled)
    connection.execute(COUNTS.insert().from_select(["state", "labelled", "change"], sums))

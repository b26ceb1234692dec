"""What keeps a long queue fast: counts that are kept instead of counted, and an index for each filter."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers the rows of an INTEGER key only


def upgrade() -> None:
    """Add the counts, which the database keeps itself: a release that does not know them keeps them too."""
    op.create_index("hedgerow_reviews_added", "hedgerow_reviews", ["state", "added_ms", "review_id"])
    op.execute("UPDATE hedgerow_reviews SET reasons = substr(reasons, 1, 400) WHERE length(reasons) > 400")
    op.create_index("hedgerow_reviews_reasons", "hedgerow_reviews", ["state", "reasons", "review_id"])
    op.create_index("hedgerow_reviews_decided", "hedgerow_reviews", ["state", "decided_ms"])
    descending = sa.text("uncertainty DESC")
    op.create_index(
        "hedgerow_reviews_slice", "hedgerow_reviews", ["state", "slice", descending, "added_ms", "review_id"]
    )
    op.create_table(
        "hedgerow_counts",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("labelled", sa.Boolean, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        _keep_in_sqlite()
    else:
        _keep_in_postgresql()


def _keep_in_sqlite() -> None:
    """One row for each state: whoever writes has the database for themselves."""
    op.execute(
        """
        INSERT INTO hedgerow_counts (state, labelled, change)
        SELECT states.column1, labelled.column1, (
            SELECT count(*) FROM hedgerow_reviews
            WHERE state = states.column1 AND (label IS NOT NULL) = labelled.column1
        )
        FROM (VALUES ('waiting'), ('decided'), ('sent'), ('again'), ('closed')) AS states, (VALUES (0), (1)) AS labelled
        """
    )
    more, less = (
        f"UPDATE hedgerow_counts SET change = change {by} WHERE state = {row}.state"  # noqa: S608 - our own words
        f" AND labelled = ({row}.label IS NOT NULL);"
        for by, row in (("+ 1", "NEW"), ("- 1", "OLD"))
    )
    for event, steps in (("INSERT", more), ("UPDATE OF state, label", less + more), ("DELETE", less)):
        name = f"hedgerow_count_{event.split()[0].lower()}"
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON hedgerow_reviews BEGIN {steps} END")


def _keep_in_postgresql() -> None:
    """One row for each change: with one for each state, everybody who decides would wait for it."""
    op.execute(
        """
        CREATE OR REPLACE FUNCTION hedgerow_count() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                INSERT INTO hedgerow_counts (state, labelled, change)
                SELECT state, label IS NOT NULL, count(*) FROM new_rows GROUP BY 1, 2;
            ELSIF TG_OP = 'DELETE' THEN
                INSERT INTO hedgerow_counts (state, labelled, change)
                SELECT state, label IS NOT NULL, -count(*) FROM old_rows GROUP BY 1, 2;
            ELSE
                INSERT INTO hedgerow_counts (state, labelled, change)
                SELECT state, labelled, sum(change) FROM (
                    SELECT state, label IS NOT NULL AS labelled, 1 AS change FROM new_rows
                    UNION ALL SELECT state, label IS NOT NULL, -1 FROM old_rows
                ) AS changes GROUP BY 1, 2 HAVING sum(change) <> 0;
            END IF;
            RETURN NULL;
        END $$
        """
    )
    new, old = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
    for event, rows in (("INSERT", new), ("UPDATE", f"{old} {new}"), ("DELETE", old)):
        op.execute(
            f"CREATE TRIGGER hedgerow_count_{event.lower()} AFTER {event} ON hedgerow_reviews REFERENCING {rows}"
            " FOR EACH STATEMENT EXECUTE FUNCTION hedgerow_count()"
        )
    # The triggers have locked the table: nobody writes between them and this.
    op.execute(
        "INSERT INTO hedgerow_counts (state, labelled, change)"
        " SELECT state, label IS NOT NULL, count(*) FROM hedgerow_reviews GROUP BY 1, 2"
    )

"""What a team at the desk needs: claims, marks, a journal, sessions, decisions that can be undone, filters, text search."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "3"
down_revision = "2"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers the rows of an INTEGER key only


def upgrade() -> None:
    """Add columns and tables; a release that does not know them writes reviews without them, which the desk then fills."""
    op.add_column("hedgerow_reviews", sa.Column("due_ms", sa.BigInteger))
    for name in ("suggested", "slice", "text_digest"):
        op.add_column("hedgerow_reviews", sa.Column(name, sa.LargeBinary))
    op.add_column("hedgerow_reviews", sa.Column("reasons", sa.Text))
    descending = sa.text("uncertainty DESC")
    op.create_index(
        "hedgerow_reviews_label", "hedgerow_reviews", ["state", "suggested", descending, "added_ms", "review_id"]
    )
    op.create_index("hedgerow_reviews_text", "hedgerow_reviews", ["text_digest"])
    op.create_table(
        "hedgerow_claims",
        sa.Column("review_id", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.LargeBinary, nullable=False, index=True),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "hedgerow_marks",
        sa.Column("review_id", sa.LargeBinary, primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("name", sa.LargeBinary, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "hedgerow_journal",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("review_id", sa.LargeBinary, index=True),
        sa.Column("ticket_id", sa.LargeBinary),
        sa.Column("label", sa.LargeBinary),
        sa.Column("detail", sa.LargeBinary, nullable=False),
        sa.Column("took_ms", sa.BigInteger),
    )
    op.create_index("hedgerow_journal_action", "hedgerow_journal", ["action", "at_ms"])
    op.create_table(
        "hedgerow_sessions",
        sa.Column("token", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("role", sa.String(16)),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE hedgerow_texts USING fts5(review_id UNINDEXED, text, tokenize='trigram')")
    else:
        op.create_table(
            "hedgerow_texts",
            sa.Column("review_id", sa.LargeBinary, primary_key=True),
            sa.Column("text", sa.Text, nullable=False),
        )
        _index_trigrams(op.get_bind())


def _index_trigrams(connection: sa.Connection) -> None:
    """Index the texts with pg_trgm; a user who may not add the extension searches without an index, which is slower."""
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            # It may be in any schema, and its operators are found in the search path only.
            schema = connection.scalar(
                sa.text(
                    "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
                    " WHERE e.extname = 'pg_trgm'"
                )
            )
            connection.execute(
                sa.text(
                    f"CREATE INDEX hedgerow_texts_trigrams ON hedgerow_texts USING gin (text {schema}.gin_trgm_ops)"
                )
            )
    except DBAPIError:
        pass

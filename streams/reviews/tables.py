"""The tables of the review store, as the migrations make them."""

from __future__ import annotations

import sqlalchemy as sa


class Utf8(sa.TypeDecorator[str]):
    """Any text that a message may hold, as bytes: PostgreSQL's own text refuses the NUL character."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> bytes | None:
        """Return the text as the database keeps it."""
        # surrogatepass: what a shell hands over may be no Unicode; it is then found nowhere, which is the right answer.
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: bytes | None, _dialect: sa.Dialect) -> str | None:
        """Return the text as it was."""
        return None if value is None else value.decode("utf-8", "surrogatepass")


_METADATA = sa.MetaData()

REVIEWS = sa.Table(
    "hedgerow_reviews",
    _METADATA,
    sa.Column("review_id", Utf8, primary_key=True),
    sa.Column("ticket_id", Utf8, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("uncertainty", sa.Double, nullable=False),
    sa.Column("added_ms", sa.BigInteger, nullable=False),
    sa.Column("review", sa.LargeBinary, nullable=False),
    sa.Column("label", Utf8),
    sa.Column("decided_by", Utf8),
    sa.Column("note", Utf8),
    sa.Column("decided_ms", sa.BigInteger),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("run", sa.BigInteger, nullable=False),
    sa.Column("decisions", sa.BigInteger, nullable=False),
    sa.Column("closed_by", Utf8),
    # When a decision is due to be sent, Unix time in milliseconds: before that it can be undone, if that is later than decided_ms.
    # Below 0 it is the time since when its sender has it, with a minus. Null if it was sent, or is left to any sender.
    sa.Column("due_ms", sa.BigInteger),
    # What the queue is filtered by; null, as the digest is, in rows that a release without them wrote.
    sa.Column("suggested", Utf8),
    sa.Column("slice", Utf8),
    sa.Column("reasons", sa.Text),
    sa.Column("text_digest", sa.LargeBinary),
)

#: How many reviews are in which state: the sum of the changes, which triggers write.
COUNTS = sa.Table(
    "hedgerow_counts",
    _METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("labelled", sa.Boolean, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),
)

#: The texts that are searched: an FTS5 table in SQLite, one with a trigram index in PostgreSQL.
TEXTS = sa.Table("hedgerow_texts", _METADATA, sa.Column("review_id", Utf8), sa.Column("text", sa.Text))

#: Who has a review open, and until when.
CLAIMS = sa.Table(
    "hedgerow_claims",
    _METADATA,
    sa.Column("review_id", Utf8, primary_key=True),
    sa.Column("name", Utf8, nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False),
)

#: What reviewers have put on a review: a skip, a flag.
MARKS = sa.Table(
    "hedgerow_marks",
    _METADATA,
    sa.Column("review_id", Utf8, primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("name", Utf8, primary_key=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("note", Utf8, nullable=False),
)

#: Second opinions: who asked, and what was said.
OPINIONS = sa.Table(
    "hedgerow_opinions",
    _METADATA,
    sa.Column("review_id", Utf8, primary_key=True),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("asked_by", Utf8, nullable=False),
    sa.Column("asked_ms", sa.BigInteger, nullable=False),
    sa.Column("name", Utf8),
    sa.Column("label", Utf8),
    sa.Column("note", Utf8),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("agreed", sa.Boolean),
)

#: Who did what, and when; nothing is ever taken out.
JOURNAL = sa.Table(
    "hedgerow_journal",
    _METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("name", Utf8, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("review_id", Utf8),
    sa.Column("ticket_id", Utf8),
    sa.Column("label", Utf8),
    sa.Column("detail", Utf8, nullable=False),
    sa.Column("took_ms", sa.BigInteger),
)

#: Who is logged in at the desk: the token is kept as a digest.
SESSIONS = sa.Table(
    "hedgerow_sessions",
    _METADATA,
    sa.Column("token", sa.LargeBinary, primary_key=True),
    sa.Column("name", Utf8, nullable=False),
    sa.Column("role", sa.String(16)),
    sa.Column("csrf", sa.String(64), nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False),
)

#: Who has logged in at a desk, in which role, and when first and last.
USERS = sa.Table(
    "hedgerow_users",
    _METADATA,
    sa.Column("name", Utf8, primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("first_ms", sa.BigInteger, nullable=False),
    sa.Column("last_ms", sa.BigInteger, nullable=False),
)


def short_name(table: sa.Table) -> str:
    """Return a table's name without ``hedgerow_``."""
    return table.name.removeprefix("hedgerow_")


def count_rows(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    """Return how many rows of a table fit all conditions."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one())

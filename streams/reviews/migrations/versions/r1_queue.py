"""The queue: a review, its state and its decision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create the table of version 1."""
    op.create_table(
        "hedgerow_reviews",
        sa.Column("review_id", sa.LargeBinary, primary_key=True),
        sa.Column("ticket_id", sa.LargeBinary, nullable=False, index=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("uncertainty", sa.Double, nullable=False),
        sa.Column("added_ms", sa.BigInteger, nullable=False),
        sa.Column("review", sa.LargeBinary, nullable=False),
        sa.Column("label", sa.LargeBinary),
        sa.Column("decided_by", sa.LargeBinary),
        sa.Column("note", sa.LargeBinary),
        sa.Column("decided_ms", sa.BigInteger),
    )
    descending = sa.text("uncertainty DESC")
    op.create_index("hedgerow_reviews_queue", "hedgerow_reviews", ["state", descending, "added_ms", "review_id"])

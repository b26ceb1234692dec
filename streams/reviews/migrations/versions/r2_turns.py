"""Which text of the ticket a review is about, in which run, how often it was decided, and why it was closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add the columns; a release that does not know them writes their defaults."""
    for name in ("revision", "run", "decisions"):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        op.add_column("hedgerow_reviews", column)
    op.add_column("hedgerow_reviews", sa.Column("closed_by", sa.LargeBinary))

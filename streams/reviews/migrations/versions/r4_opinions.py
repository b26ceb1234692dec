"""Second opinions: who asked for one on which review, and what it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Add the table; a release that does not know it shows such tickets as any other."""
    op.create_table(
        "hedgerow_opinions",
        sa.Column("review_id", sa.LargeBinary, primary_key=True),
        sa.Column("state", sa.String(12), nullable=False, index=True),
        sa.Column("asked_by", sa.LargeBinary, nullable=False),
        sa.Column("asked_ms", sa.BigInteger, nullable=False),
        sa.Column("name", sa.LargeBinary),
        sa.Column("label", sa.LargeBinary),
        sa.Column("note", sa.LargeBinary),
        sa.Column("at_ms", sa.BigInteger),
        sa.Column("agreed", sa.Boolean),
    )

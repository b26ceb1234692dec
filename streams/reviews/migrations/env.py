"""What Alembic runs: the steps that are missing, in the transaction that the caller has begun."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table=context.config.attributes["table"])
with context.begin_transaction():
    context.run_migrations()

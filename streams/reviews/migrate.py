"""Brings the tables of the review store up to date, in place."""

from __future__ import annotations

from importlib.resources import files
from threading import Lock

import sqlalchemy as sa

#: The newest step in ``migrations/versions``.
HEAD = "6"
_TABLE = "hedgerow_migrations"
#: What releases without migrations look at; they go on working, because steps only add.
_VERSION = 1
_VERSIONS = sa.Table(
    "hedgerow_schema", sa.MetaData(), sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)
#: Alembic keeps what it is doing in one place for the whole process.
_ONE_AT_A_TIME = Lock()


class NewerStore(Exception):
    """The tables are of a release that this one knows nothing of; the text says which."""


def upgrade(connection: sa.Connection) -> None:
    """Make the missing steps in the connection's transaction; raises NewerStore."""
    done = _done(connection)
    if done == HEAD:
        return
    if done is not None and not (done.isdecimal() and int(done) < int(HEAD)):
        raise NewerStore(f"the tables are at step {done}, this release knows {HEAD}")
    _VERSIONS.create(connection, checkfirst=True)
    version = connection.scalar(sa.select(sa.func.max(_VERSIONS.c.version)))
    if version not in (None, _VERSION):
        raise NewerStore(f"the tables have schema version {version}, this release reads {_VERSION}")
    if version is None:
        connection.execute(_VERSIONS.insert().values(version=_VERSION))
    _run(connection, begin_at="1" if version is not None and done is None else None)


def _done(connection: sa.Connection) -> str | None:
    """Return the last step that was made; None before the first, and for tables from before there were any."""
    if not sa.inspect(connection).has_table(_TABLE):
        return None
    return connection.scalar(sa.select(sa.column("version_num", sa.String)).select_from(sa.table(_TABLE)))


def _run(connection: sa.Connection, begin_at: str | None) -> None:
    # Slow to import, and needed once in the life of a store.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "table": _TABLE})
    config.set_main_option("script_location", str(files("streams.reviews") / "migrations"))
    with _ONE_AT_A_TIME:
        if begin_at is not None:
            command.stamp(config, begin_at)
        command.upgrade(config, HEAD)

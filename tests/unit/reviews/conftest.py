"""Review stores in SQLite and in PostgreSQL, where the machine has one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from streams.reviews.store import ReviewStore
from tests.support.postgres import postgres, programs

POSTGRES = "HEDGEROW_TEST_POSTGRES"
Open = Callable[..., ReviewStore]


def postgres_schema(base: str) -> Iterator[str]:
    """A URL with a schema of its own, dropped afterwards."""
    name = f"hedgerow_{uuid4().hex}"
    engine = sa.create_engine(base)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {name}"))
        yield sa.make_url(base).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(False)
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {name} CASCADE"))
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Name another server in HEDGEROW_TEST_POSTGRES to use that."""
    if POSTGRES in os.environ:
        yield os.environ[POSTGRES]
    elif (folder := programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    else:
        with postgres(folder) as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/reviews.db"
    else:
        yield from postgres_schema(request.getfixturevalue("postgresql"))


@pytest.fixture
def open_store() -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(closing(ReviewStore(url, **options)))


@pytest.fixture
def store(url: str, open_store: Open) -> ReviewStore:
    return open_store(url)

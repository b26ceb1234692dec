"""Tables of an earlier release are brought up to date in place, with what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from schemas import Review
from streams.errors import SettingsError
from streams.reviews import migrations
from streams.reviews.migrate import HEAD
from streams.reviews.migrations import versions
from streams.reviews.store import ReviewStore
from tests.support.messages import review
from tests.support.postgres import postgres, programs
from tests.support.store_v1 import INSERT, as_version_1, v1_row

TABLES = (
    *("hedgerow_reviews", "hedgerow_schema", "hedgerow_migrations", "hedgerow_texts", "hedgerow_claims"),
    *(
        "hedgerow_marks",
        "hedgerow_journal",
        "hedgerow_sessions",
        "hedgerow_opinions",
        "hedgerow_counts",
        "hedgerow_users",
    ),
)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    if (folder := programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres(folder) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    sqlite = f"sqlite:///{tmp_path / 'reviews.db'}"
    engine = sa.create_engine(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield engine
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))
    engine.dispose()


def url_of(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def columns(engine: sa.Engine) -> dict[str, str]:
    return {each["name"]: str(each["type"]) for each in sa.inspect(engine).get_columns("hedgerow_reviews")}


def test_a_store_of_version_1_keeps_what_is_in_it(engine: sa.Engine) -> None:
    as_version_1(engine)
    with closing(ReviewStore(url_of(engine))) as store:
        counts = store.counts()
        assert (counts.waiting, counts.decided, counts.oldest_ms) == (1, 2, 5)
        [unsent] = store.unsent()
        assert (unsent.verdict.ticket_id, unsent.verdict.decision, unsent.verdict.corrected) == ("t-decided", 1, False)
        assert store.mark_sent(unsent.verdict.review_id)
        waiting = store.get("t-waiting")
        assert waiting is not None
        assert waiting.review == review("t-waiting")
        store.decide(waiting.review.review_id, "refund", "bob", "", 10)
        corrected = store.correct(Review.id_for("t-sent"), "refund", "bob", "", 11)
        assert (corrected.verdict.decision, corrected.routed.label) == (2, "refund")
        assert store.add(review("t-new"))


def test_a_store_that_was_migrated_has_the_tables_of_a_new_one(engine: sa.Engine, tmp_path: Path) -> None:
    as_version_1(engine)
    with closing(ReviewStore(url_of(engine))) as store:
        store.counts()
    if engine.name == "sqlite":
        with closing(ReviewStore(f"sqlite:///{tmp_path / 'new.db'}")) as store:
            store.counts()
        new = sa.create_engine(f"sqlite:///{tmp_path / 'new.db'}")
        assert columns(new).keys() == columns(engine).keys()
        indexes = [{each["name"] for each in sa.inspect(one).get_indexes("hedgerow_reviews")} for one in (new, engine)]
        names = {"ix_hedgerow_reviews_ticket_id"} | {
            f"hedgerow_reviews_{of}" for of in ("queue", "label", "text", "slice", "added", "decided", "reasons")
        }
        assert indexes[0] == indexes[1] == names
        new.dispose()
    with engine.connect() as connection:
        at = MigrationContext.configure(connection, opts={"version_table": "hedgerow_migrations"})
        assert at.get_current_revision() == HEAD


def test_a_release_of_before_goes_on_working_on_the_tables(engine: sa.Engine) -> None:
    """It writes the columns that it knows, and looks at the version that it knows."""
    as_version_1(engine)
    with closing(ReviewStore(url_of(engine))) as store:
        store.counts()
        row = v1_row("waiting") | {"review_id": b"other", "ticket_id": b"other"}
        named = INSERT.replace(
            "hedgerow_reviews VALUES",
            "hedgerow_reviews (review_id, ticket_id, state, uncertainty, added_ms, review, label, decided_by, note, decided_ms)"
            " VALUES",
        )
        with engine.begin() as connection:
            assert connection.scalar(sa.text("SELECT version FROM hedgerow_schema")) == 1
            connection.execute(sa.text(named), [row])
        assert store.counts().waiting == 2


def test_a_store_of_a_later_release_is_refused(engine: sa.Engine) -> None:
    with closing(ReviewStore(url_of(engine))) as store:
        store.counts()
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE hedgerow_migrations SET version_num = '99'"))
    with closing(ReviewStore(url_of(engine))) as store, pytest.raises(SettingsError, match="at step 99") as refused:
        store.counts()
    assert len(str(refused.value).splitlines()) == 1


def test_the_steps_are_one_chain_that_ends_where_the_store_expects_it() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    assert script.versions == str(Path(versions.__file__).parent)
    assert [step.revision for step in script.walk_revisions()] == [str(n) for n in range(int(HEAD), 0, -1)]

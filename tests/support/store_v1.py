"""A review store as a release without migrations left it: one review waits, one is decided, one decision was sent."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from schemas import WireFormat
from tests.support.messages import review

STATES = ("waiting", "decided", "sent")
V1 = (
    "CREATE TABLE hedgerow_schema (version INTEGER NOT NULL PRIMARY KEY)",
    "INSERT INTO hedgerow_schema VALUES (1)",
    """CREATE TABLE hedgerow_reviews (review_id {blob} NOT NULL PRIMARY KEY, ticket_id {blob} NOT NULL,
        state VARCHAR(8) NOT NULL, uncertainty DOUBLE PRECISION NOT NULL, added_ms BIGINT NOT NULL, review {blob} NOT NULL,
        label {blob}, decided_by {blob}, note {blob}, decided_ms BIGINT)""",
    "CREATE INDEX ix_hedgerow_reviews_ticket_id ON hedgerow_reviews (ticket_id)",
    "CREATE INDEX hedgerow_reviews_queue ON hedgerow_reviews (state, uncertainty DESC, added_ms, review_id)",
)
INSERT = """INSERT INTO hedgerow_reviews VALUES
    (:review_id, :ticket_id, :state, :uncertainty, 5, :review, :label, :decided_by, :note, :decided_ms)"""


def v1_row(state: str) -> dict[str, Any]:
    """A row as a release without migrations wrote it."""
    one = review(f"t-{state}")
    decided = {"label": b"account", "decided_by": b"ann", "note": b"", "decided_ms": 9}
    return {
        "review_id": one.review_id.encode(),
        "ticket_id": one.ticket_id.encode(),
        "state": state,
        "uncertainty": one.uncertainty,
        "review": WireFormat(1).encode(one),
        **(dict.fromkeys(decided) if state == "waiting" else decided),
    }


def as_version_1(engine: sa.Engine) -> None:
    blob = "BLOB" if engine.name == "sqlite" else "BYTEA"
    with engine.begin() as connection:
        for statement in V1:
            connection.execute(sa.text(statement.format(blob=blob)))
        connection.execute(sa.text(INSERT), [v1_row(state) for state in STATES])

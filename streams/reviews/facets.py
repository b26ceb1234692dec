"""What the queue is filtered and searched by: written with a review, or filled in if another release wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from schemas import Review, digest_of
from streams.reviews.database import Database
from streams.reviews.tables import REVIEWS, TEXTS

_FILL = 500
#: What an index of PostgreSQL can hold beside an id.
_MAX_REASONS = 400


def facets(review: Review) -> dict[str, Any]:
    """Return the columns of a review that filters look at."""
    return {
        "suggested": review.suggested,
        "slice": review.ticket.slice,
        "reasons": _text(" ".join(review.reasons))[:_MAX_REASONS],
        "text_digest": digest_of(review.ticket.text),
    }


def _text(text: str) -> str:
    """Return what PostgreSQL's text can hold of a text: it holds no NUL."""
    return text.replace("\0", "\ufffd")


def index_texts(connection: sa.Connection, reviews: Mapping[str, Review]) -> None:
    """Make the texts of new reviews ready to be searched."""
    rows = [{"review_id": key, "text": _text(one.ticket.text)} for key, one in reviews.items()]
    if rows:
        connection.execute(TEXTS.insert(), rows)


def fill(database: Database) -> int:
    """Fill in what a release without these columns left out, for at most 500 reviews; return for how many."""
    missing = sa.select(REVIEWS.c.review_id, REVIEWS.c.review).where(REVIEWS.c.text_digest.is_(None)).limit(_FILL)
    with database.transaction() as connection:
        found = {row.review_id: Review.decode(row.review) for row in connection.execute(missing)}
    with database.transaction() as connection:
        filled = {}
        for review_id, review in sorted(found.items()):
            here = (REVIEWS.c.review_id == review_id) & REVIEWS.c.text_digest.is_(None)
            if connection.execute(sa.update(REVIEWS).where(here).values(facets(review))).rowcount == 1:
                filled[review_id] = review
        index_texts(connection, filled)
    return len(filled)

"""Second opinions: two reviewers decide one ticket, the second without seeing what the models or the first one said."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from streams.reviews import journal
from streams.reviews.decision import DecisionRefused
from streams.reviews.journal import Action, Entry
from streams.reviews.store import QueueItem, ReviewStore
from streams.reviews.tables import OPINIONS, REVIEWS

OpinionState = Literal["asked", "agreed", "disagreed", "settled"]
_ASKED, _AGREED, _DISAGREED, _SETTLED = "asked", "agreed", "disagreed", "settled"
_C = OPINIONS.c
_DECIDED = REVIEWS.c.state.in_(["decided", "sent"])


@dataclass(frozen=True, slots=True)
class Opinion:
    """A second opinion, asked for or given."""

    state: OpinionState
    asked_by: str
    asked_ms: int
    """Unix time, milliseconds."""
    name: str | None = None
    """Who gave it; None until then."""
    label: str | None = None
    note: str = ""

    @property
    def is_blind(self) -> bool:
        """Whether nothing may be shown that could lead who is to give it."""
        return self.state == _ASKED


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many second opinions were given, and how many of them were the first decision's."""

    given: int
    agreed: int


def is_blind() -> sa.ColumnElement[bool]:
    """Return the condition on a review that a second opinion on it is asked for and not given."""
    return sa.exists().where(_C.review_id == REVIEWS.c.review_id, _C.state == _ASKED)


def _asked_of(query: sa.Select[Any], name: str) -> sa.Select[Any]:
    """Return a query over reviews for those on which ``name`` can give a second opinion."""
    about = query.join(OPINIONS, _C.review_id == REVIEWS.c.review_id)
    return about.where(_C.state == _ASKED, _DECIDED, REVIEWS.c.decided_by != name)


class Opinions:
    """Asks for second opinions, takes them, and tells leads where two reviewers disagree."""

    def __init__(self, store: ReviewStore) -> None:
        self._store = store
        self._database = store.database

    def ask(self, item: QueueItem, by: str, at_ms: int) -> None:
        """Ask for a second opinion on a review; raises DecisionRefused if there is one, or nothing to decide."""
        review = item.review
        if item.again is not None or item.closed_by is not None:
            raise DecisionRefused("nobody has to decide this ticket any more")
        insert = self._database.insert(OPINIONS).values(
            review_id=review.review_id, state=_ASKED, asked_by=by, asked_ms=at_ms
        )
        once = insert.on_conflict_do_nothing().returning(_C.review_id)
        with self._database.transaction() as connection:
            if connection.execute(once).first() is None:
                raise DecisionRefused("a second opinion on this ticket was asked for before")
            journal.write(connection, Entry(at_ms, by, Action.ASK, review.review_id, review.ticket_id))

    def give(self, item: QueueItem, label: str | None, by: str, note: str, at_ms: int) -> Opinion:
        """Give a second opinion; None: no label fits. Raises DecisionRefused if ``by`` is not a second person, or too late."""
        self._store.check_label(label)
        review = item.review
        by_another = sa.exists().where(REVIEWS.c.review_id == review.review_id, _DECIDED, REVIEWS.c.decided_by != by)
        here = (_C.review_id == review.review_id) & (_C.state == _ASKED) & by_another
        values = {"state": _AGREED, "name": by, "label": label, "note": note, "at_ms": at_ms, "agreed": True}
        with self._database.transaction() as connection:
            if connection.execute(sa.update(OPINIONS).where(here).values(values)).rowcount != 1:
                raise DecisionRefused("there is no second opinion for you to give on this ticket")
            first = connection.execute(
                sa.select(REVIEWS.c.label).where(REVIEWS.c.review_id == review.review_id)
            ).scalar()
            if first != label:
                differs = sa.update(OPINIONS).where(_C.review_id == review.review_id)
                connection.execute(differs.values(state=_DISAGREED, agreed=False))
            entry = Entry(at_ms, by, Action.OPINION, review.review_id, review.ticket_id, label, note)
            journal.write(connection, entry)
        return self.of([review.review_id])[review.review_id]

    def settle(self, item: QueueItem, by: str, at_ms: int, *, upheld: bool) -> bool:
        """Note that a lead has seen to a disagreement; return False if there was none. ``upheld``: the first decision stands."""
        review = item.review
        here = (_C.review_id == review.review_id) & (_C.state == _DISAGREED)
        with self._database.transaction() as connection:
            settled = connection.execute(sa.update(OPINIONS).where(here).values(state=_SETTLED)).rowcount == 1
            if settled and upheld:
                journal.write(connection, Entry(at_ms, by, Action.UPHOLD, review.review_id, review.ticket_id))
        return settled

    def of(self, review_ids: Collection[str]) -> dict[str, Opinion]:
        """Return the second opinions on these reviews, by review id."""
        if not review_ids:
            return {}
        with self._database.transaction() as connection:
            rows = connection.execute(sa.select(OPINIONS).where(_C.review_id.in_(list(review_ids)))).all()
        return {
            row.review_id: Opinion(row.state, row.asked_by, row.asked_ms, row.name, row.label, row.note or "")
            for row in rows
        }

    def blind(self, review_ids: Collection[str]) -> set[str]:
        """Return those of these reviews on which a second opinion is asked for and not given."""
        return {review_id for review_id, opinion in self.of(review_ids).items() if opinion.is_blind}

    def waiting_for(self, name: str, limit: int = 200) -> list[QueueItem]:
        """Return the decided reviews on which ``name`` can give a second opinion, the longest asked for first."""
        return self._store.items(_asked_of(sa.select(REVIEWS), name).order_by(_C.asked_ms, _C.review_id).limit(limit))

    def count_for(self, name: str) -> int:
        """Return on how many decided reviews ``name`` can give a second opinion."""
        with self._database.transaction() as connection:
            return int(
                connection.execute(_asked_of(sa.select(sa.func.count()).select_from(REVIEWS), name)).scalar_one()
            )

    def disagreed(self, limit: int = 200) -> list[QueueItem]:
        """Return the reviews on which two reviewers disagree, which is a lead's to settle."""
        query = sa.select(REVIEWS).join(OPINIONS, _C.review_id == REVIEWS.c.review_id).where(_C.state == _DISAGREED)
        return self._store.items(query.order_by(_C.at_ms, _C.review_id).limit(limit))

    def agreement(self) -> Agreement:
        """Return how often second opinions were the first decision's."""
        agreed = sa.func.count().filter(_C.agreed.is_(sa.true()))
        query = sa.select(sa.func.count(), agreed).where(_C.agreed.is_not(None))
        with self._database.transaction() as connection:
            given, same = connection.execute(query).one()
        return Agreement(int(given), int(same))

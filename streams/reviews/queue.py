"""The queue as a team looks at it: filtered, searched, a page at a time, and who is at what."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import sqlalchemy as sa

from schemas import MAX_NAME
from streams.reviews import claims, kept_counts
from streams.reviews.claims import Claim
from streams.reviews.database import Database
from streams.reviews.opinions import is_blind
from streams.reviews.store import QUEUE_ORDER, WAITING, QueueItem, ReviewStore
from streams.reviews.tables import MARKS, REVIEWS, TEXTS

Mark = Literal["skip", "flag"]
#: Beyond this many, what a filter keeps is no longer counted.
MAX_COUNT = 10_000
#: What keeps no more reviews than this is looked up first, and then put in order; else the queue is read in its order.
_FEW = 2_000
#: FTS5's trigrams, and PostgreSQL's, find no shorter text by their index.
_TRIGRAM = 3
_C = REVIEWS.c


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of the waiting reviews somebody wants to see; an empty one keeps all."""

    label: str = ""
    """The suggested label."""
    reason: str = ""
    """A part of a reason, such as ``low_confidence``."""
    slice: str = ""
    text: str = ""
    """Words that the text has, all of them, in any order and case."""
    older_than_s: float = 0.0
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue: of the last review on a page."""

    uncertainty: float
    added_ms: int
    review_id: str

    def token(self) -> str:
        """Return the place as a text for a link."""
        return base64.urlsafe_b64encode(orjson.dumps([self.uncertainty, self.added_ms, self.review_id])).decode()

    @classmethod
    def of(cls, token: str) -> Place | None:
        """Return the place that a link names; None if it names none."""
        try:
            uncertainty, added_ms, review_id = orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, TypeError):
            return None
        valid = (
            isinstance(uncertainty, float | int)
            and isinstance(added_ms, int)
            and abs(added_ms) < 2**63
            and isinstance(review_id, str)
            and len(review_id) <= MAX_NAME
        )
        return cls(float(uncertainty), added_ms, review_id) if valid else None


@dataclass(frozen=True, slots=True)
class Page:
    """Some reviews of the queue in its order, and where the next page goes on; None on the last one."""

    items: Sequence[QueueItem]
    claims: dict[str, Claim]
    """Who has which of them open."""
    flags: frozenset[str]
    """Which of them are flagged."""
    after: Place | None


@dataclass(frozen=True, slots=True)
class _LookedUp:
    """The parts of a filter that were looked up: the condition on the few reviews that each keeps; None if they are many."""

    reasons: Sequence[str]
    """The sets of reasons that the filter keeps."""
    reason: sa.ColumnElement[bool] | None
    old: sa.ColumnElement[bool] | None
    text: sa.ColumnElement[bool] | None


class Queue:
    """Reads the waiting reviews by filters; skips and flags them."""

    def __init__(self, store: ReviewStore) -> None:
        self._store = store
        self._database: Database = store.database

    def page(self, chosen: Filter, at_ms: int, *, limit: int = 50, after: Place | None = None) -> Page:
        """Return up to ``limit`` reviews that follow a place, as they are at that moment (Unix time, milliseconds)."""
        return self._page(chosen, self._look_up(chosen, at_ms), at_ms, limit, after)

    def look(
        self, chosen: Filter, at_ms: int, *, limit: int = 50, after: Place | None = None
    ) -> tuple[Page, int, bool]:
        """Return a page, how many reviews the filter keeps, and whether it may keep more, as ``count`` does."""
        found = self._look_up(chosen, at_ms)
        page = self._page(chosen, found, at_ms, limit, after)
        if page.after is None and after is None:
            return page, len(page.items), False
        count, more = self._count(chosen, found, at_ms)
        return page, max(count, len(page.items)), more

    def _page(self, chosen: Filter, looked_up: _LookedUp, at_ms: int, limit: int, after: Place | None) -> Page:
        conditions = self._conditions(chosen, looked_up, at_ms)
        query = sa.select(REVIEWS).where(*conditions).order_by(*QUEUE_ORDER)
        wanted = limit + 1
        if after is None:
            found = self._store.items(query.limit(wanted))
        else:
            # Two ranges of the index; one condition with OR would read all that is before them.
            later = sa.tuple_(_C.added_ms, _C.review_id) > sa.tuple_(
                sa.literal(after.added_ms, _C.added_ms.type), sa.literal(after.review_id, _C.review_id.type)
            )
            found = self._store.items(query.where(_C.uncertainty == after.uncertainty, later).limit(wanted))
            if len(found) < wanted:
                found += self._store.items(query.where(_C.uncertainty < after.uncertainty).limit(wanted - len(found)))
        shown = found[:limit]
        ids = [item.review.review_id for item in shown]
        with self._database.transaction() as connection:
            held = claims.held(connection, ids, at_ms)
            flags = _marked(connection, ids, "flag")
        last = shown[-1] if len(found) > limit else None
        place = None if last is None else Place(last.review.uncertainty, last.added_ms, last.review.review_id)
        return Page(shown, held, frozenset(flags), place)

    def next_for(self, name: str, chosen: Filter, at_ms: int, *, besides: str = "") -> QueueItem | None:
        """Return the first review that nobody else has open and that ``name`` has not skipped; None if there is none.

        ``besides`` is a review that is not meant: the one that ``name`` has open now.
        """
        skipped = sa.exists().where(
            MARKS.c.review_id == _C.review_id, MARKS.c.kind == "skip", MARKS.c.name == name, MARKS.c.at_ms > at_ms
        )
        conditions = self._conditions(chosen, self._look_up(chosen, at_ms), at_ms)
        query = sa.select(REVIEWS).where(*conditions, ~claims.held_by_other(name, at_ms), ~skipped)
        if besides:
            query = query.where(_C.review_id != besides)
        return next(iter(self._store.items(query.order_by(*QUEUE_ORDER).limit(1))), None)

    def count(self, chosen: Filter, at_ms: int) -> tuple[int, bool]:
        """Return how many reviews the filter keeps, and whether it may keep more: those beyond 10,000 are not counted.

        Nor are those whose text has words that many texts have, since each would have to be read.
        """
        return self._count(chosen, self._look_up(chosen, at_ms), at_ms)

    def _count(self, chosen: Filter, looked_up: _LookedUp, at_ms: int) -> tuple[int, bool]:
        if chosen == Filter():
            return self.count_all(), False
        if _words(chosen) and looked_up.text is None:
            return 0, True
        conditions = self._conditions(chosen, looked_up, at_ms, in_order=False)
        some = sa.select(sa.literal(1)).where(*conditions).limit(MAX_COUNT + 1).subquery()
        with self._database.transaction() as connection:
            found = int(connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one())
        return min(found, MAX_COUNT), found > MAX_COUNT

    def count_all(self) -> int:
        """Return how many reviews wait."""
        with self._database.transaction() as connection:
            kept = kept_counts.kept(connection)
        return sum(count for (state, _), count in kept.items() if state == WAITING)

    def equal_texts(self, text_digest: bytes, limit: int) -> list[QueueItem]:
        """Return the waiting reviews of tickets with this very text (its digest), the most uncertain first."""
        same = sa.select(REVIEWS).where(_C.text_digest == text_digest, _C.state.concat("") == WAITING)
        return self._store.items(same.order_by(*QUEUE_ORDER).limit(limit))

    def those(self, review_ids: Collection[str]) -> list[QueueItem]:
        """Return those of these reviews that wait, the most uncertain first."""
        if not review_ids:
            return []
        here = sa.select(REVIEWS).where(_C.review_id.in_(list(review_ids)), _C.state.concat("") == WAITING)
        return self._store.items(here.order_by(*QUEUE_ORDER))

    def mark(self, review_id: str, kind: Mark, name: str, at_ms: int, note: str = "") -> None:
        """Put a mark on a review; a skip ends at ``at_ms`` (Unix time, milliseconds), a flag was set then."""
        values = {"review_id": review_id, "kind": kind, "name": name, "at_ms": at_ms, "note": note}
        insert = self._database.insert(MARKS).values(values)
        upsert = insert.on_conflict_do_update(
            index_elements=[MARKS.c.review_id, MARKS.c.kind, MARKS.c.name],
            set_={"at_ms": insert.excluded.at_ms, "note": insert.excluded.note},
        )
        with self._database.transaction() as connection:
            connection.execute(upsert)

    def unmark(self, review_id: str, kind: Mark) -> None:
        """Take everybody's mark of this kind off a review."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(MARKS).where(MARKS.c.review_id == review_id, MARKS.c.kind == kind))

    def flags(self, review_id: str) -> list[tuple[str, str, int]]:
        """Return who has flagged a review, with which note, and when (Unix time, milliseconds)."""
        query = sa.select(MARKS).where(MARKS.c.review_id == review_id, MARKS.c.kind == "flag").order_by(MARKS.c.at_ms)
        with self._database.transaction() as connection:
            return [(row.name, row.note, row.at_ms) for row in connection.execute(query)]

    def _look_up(self, chosen: Filter, at_ms: int) -> _LookedUp:
        """Look up, once for a page and its count, what the parts of a filter keep that may keep few."""
        reasons: list[str] = []
        reason = old = text = None
        if chosen.reason:
            part = _plain(chosen.reason).lower()
            reasons = [each for each in self._reasons() if part in each.lower()]
            reason = self._few(sa.select(_C.review_id).where(_C.state == WAITING, _C.reasons.in_(reasons)))
        if chosen.older_than_s:
            since = _since(chosen, at_ms)
            old = self._few(sa.select(_C.review_id).where(_C.state == WAITING, _C.added_ms <= since))
        if words := _words(chosen):
            text = self._few(sa.select(TEXTS.c.review_id).where(*self._have(words)))
        return _LookedUp(reasons, reason, old, text)

    def _conditions(
        self, chosen: Filter, looked_up: _LookedUp, at_ms: int, *, in_order: bool = True
    ) -> list[sa.ColumnElement[bool]]:
        """Return what reviews that the filter keeps have.

        ``in_order`` says whether the first of them are wanted: the queue is then read in its order if they are many.
        """
        conditions: list[sa.ColumnElement[bool]] = []
        if chosen.label:
            conditions.append(_C.suggested == chosen.label)
        if chosen.slice:
            conditions.append(_C.slice == chosen.slice)
        if chosen.label or chosen.reason:
            # What is found by the models' word would tell that word to who is to decide without it.
            conditions.append(~is_blind())
        few = [each for each in (looked_up.reason, looked_up.old, looked_up.text) if each is not None]
        if chosen.flagged:
            few.append(_C.review_id.in_(sa.select(MARKS.c.review_id).where(MARKS.c.kind == "flag")))
        if chosen.reason and looked_up.reason is None:
            conditions.append((_C.reasons.concat("") if in_order else _C.reasons).in_(looked_up.reasons))
        if chosen.older_than_s and looked_up.old is None:
            conditions.append((_C.added_ms + 0 if in_order else _C.added_ms) <= _since(chosen, at_ms))
        if looked_up.text is None:
            conditions += self._read(_words(chosen))
        # In an expression a column makes no index look useful: few are looked up by their ids, many are met soon in the
        # order of the queue. The databases know too little of the numbers to find that out.
        return [(_C.state.concat("") if few else _C.state) == WAITING, *conditions, *few]

    def _reasons(self) -> list[str]:
        """Return the different sets of reasons of the waiting reviews, as texts: some dozens, one step of the index each."""
        first = sa.select(sa.func.min(_C.reasons).label("reasons")).where(_C.state == WAITING).cte(recursive=True)
        more = sa.select(sa.func.min(_C.reasons)).where(_C.state == WAITING, _C.reasons > first.c.reasons)
        each = first.union_all(sa.select(more.scalar_subquery()).where(first.c.reasons.is_not(None)))
        with self._database.transaction() as connection:
            return [row.reasons for row in connection.execute(sa.select(each)) if row.reasons is not None]

    def _few(self, query: sa.Select[tuple[str]]) -> sa.ColumnElement[bool] | None:
        """Return the condition that a review is among those that a query finds; None if they are many."""
        with self._database.transaction() as connection:
            found = [review_id for (review_id,) in connection.execute(query.limit(_FEW + 1))]
        return None if len(found) > _FEW else _C.review_id.in_(found)

    def _have(self, words: Collection[str]) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that an indexed text has all of these words, or parts of words."""
        if not self._database.is_sqlite:
            return [TEXTS.c.text.icontains(word, autoescape=True) for word in words]
        indexed = [word for word in words if len(word) >= _TRIGRAM]
        conditions: list[sa.ColumnElement[bool]] = []
        if indexed:
            phrases = " AND ".join('"' + word.replace('"', '""') + '"' for word in indexed)
            conditions.append(sa.literal_column("hedgerow_texts").op("MATCH")(phrases))
        rest = [word for word in words if len(word) < _TRIGRAM]
        return conditions + [TEXTS.c.text.icontains(word, autoescape=True) for word in rest]

    def _read(self, words: Collection[str]) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that the text of a review has all of these words: for those that many texts have."""
        if self._database.is_sqlite:
            return [sa.func.instr(sa.func.hedgerow_text(_C.review), word.casefold()) > 0 for word in words]
        text = sa.select(TEXTS.c.text).where(TEXTS.c.review_id == _C.review_id).scalar_subquery()
        return [text.icontains(word, autoescape=True) for word in words]


def _since(chosen: Filter, at_ms: int) -> int:
    return at_ms - round(chosen.older_than_s * 1000)


def _words(chosen: Filter) -> list[str]:
    return _plain(chosen.text).split()


def _plain(text: str) -> str:
    """Return a text from outside as both databases can compare it."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _marked(connection: sa.Connection, review_ids: Collection[str], kind: Mark) -> set[str]:
    query: sa.Select[Any] = sa.select(MARKS.c.review_id).where(
        MARKS.c.review_id.in_(list(review_ids)), MARKS.c.kind == kind
    )
    return {row.review_id for row in connection.execute(query)}

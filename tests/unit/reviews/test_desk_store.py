"""What a team needs of the store: claims, undo, filters, search, marks, a journal; on both databases."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from schemas import Review, digest_of
from streams.reviews import kept_counts
from streams.reviews import queue as queue_module
from streams.reviews.claims import Claim, Claims
from streams.reviews.decision import AlreadyDecided, DecisionRefused
from streams.reviews.facets import fill
from streams.reviews.journal import Action, Entry, Journal
from streams.reviews.queue import MAX_COUNT, Filter, Place, Queue
from streams.reviews.sessions import Sessions
from streams.reviews.store import HELD_FOR_MS, Again, Claimed, ReviewStore
from streams.reviews.tables import COUNTS, REVIEWS, TEXTS
from tests.support.desks import doubt

T0 = 1_700_000_000_000


@pytest.fixture
def store(url: str, open_store) -> ReviewStore:  # type: ignore[no-untyped-def]
    return open_store(url, wall_ms=lambda: T0)


def ids(store: ReviewStore, chosen: Filter = Filter(), at_ms: int = T0, limit: int = 50) -> list[str]:  # noqa: B008
    return [item.review.ticket_id for item in Queue(store).page(chosen, at_ms, limit=limit).items]


# Claims.


def test_a_claim_is_one_persons_until_it_ends(store: ReviewStore) -> None:
    claims = Claims(store.database)
    assert claims.take("r", "ann", 10, 20) == Claim("ann", 10, 20)
    assert claims.take("r", "bob", 15, 25) == Claim("ann", 10, 20)
    assert claims.take("r", "ann", 18, 30) == Claim("ann", 10, 30), "one's own is prolonged, and began when it did"
    assert claims.held(["r", "other"], 29) == {"r": Claim("ann", 10, 30)}
    assert claims.held(["r"], 30) == {}
    assert claims.take("r", "bob", 30, 40) == Claim("bob", 30, 40)
    claims.release("r", "ann")
    claims.release("r", "bob", until_ms=39)
    assert claims.held(["r"], 31) == {"r": Claim("bob", 30, 40)}, "neither ann's nor a claim of an earlier page"
    claims.release("r", "bob", until_ms=40)
    assert claims.held(["r"], 31) == {}


def test_of_many_who_open_a_ticket_at_once_one_has_it(store: ReviewStore) -> None:
    claims, together = Claims(store.database), Barrier(6)

    def take(name: str) -> str:
        together.wait()
        return claims.take("r", name, 10, 20).name

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(take, "abcdef"))) == 1


def test_nobody_decides_what_somebody_else_has_open(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    claims = Claims(store.database)
    claims.take(review.review_id, "ann", T0, T0 + 100)
    with pytest.raises(Claimed, match="'ann' has ticket 't-1' open"):
        store.decide(review.review_id, "refund", "bob", "", T0 + 99)
    store.decide(review.review_id, "refund", "ann", "", T0 + 99)
    assert claims.held([review.review_id], T0) == {}
    opened, entry = Journal(store.database).of_review(review.review_id)
    assert (opened.action, opened.name, opened.ticket_id) == (Action.OPEN, "ann", "t-1")
    assert (entry.action, entry.label, entry.took_ms) == ("decide", "refund", 99)


def test_a_claim_that_has_ended_stops_nobody(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    Claims(store.database).take(review.review_id, "ann", T0, T0 + 100)
    assert store.decide(review.review_id, "refund", "bob", "", T0 + 100).verdict.decided_by == "bob"


# Undo.


def test_a_decision_is_sent_only_once_it_can_no_longer_be_undone(url: str, open_store) -> None:  # type: ignore[no-untyped-def]
    now = T0
    store = open_store(url, wall_ms=lambda: now)
    review = doubt("t-1")
    store.add(review)
    store.decide(review.review_id, "refund", "ann", "", T0, undo_ms=10_000)
    now = T0 + 9_999
    assert store.unsent() == []
    assert store.next_due_ms() == T0 + 10_000
    assert not store.mark_sent(review.review_id)
    undoable = store.undoable("ann", now)
    assert undoable is not None
    assert undoable.review.review_id == review.review_id
    assert store.undoable("bob", now) is None
    with pytest.raises(DecisionRefused, match="nothing to undo"):
        store.undo(review.review_id, "bob", now)
    now = T0 + 10_000
    assert store.take_due() == ({review.review_id}, set())
    [decision] = store.unsent()
    assert decision.verdict.label == "refund"
    assert store.next_due_ms() is None
    with pytest.raises(DecisionRefused, match="nothing to undo"):
        store.undo(review.review_id, "ann", T0 + 9_999)  # by a clock that is slow
    assert store.mark_sent(review.review_id)


def test_a_decision_that_cannot_be_undone_is_undone_by_no_clock_that_is_slow(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    store.decide(review.review_id, "refund", "ann", "", T0)
    assert store.undoable("ann", T0 - 1_000) is None
    with pytest.raises(DecisionRefused, match="nothing to undo"):
        store.undo(review.review_id, "ann", T0 - 1_000)


def test_of_several_senders_one_receives_each_decision_until_it_leaves_it(url: str, open_store) -> None:  # type: ignore[no-untyped-def]
    now = T0
    store = open_store(url, wall_ms=lambda: now)
    review = doubt("t-1")
    store.add(review)
    store.decide(review.review_id, "refund", "ann", "", T0)
    mine, nothing = {review.review_id}, (set(), set())
    assert [store.take_due(), store.take_due()] == [(mine, set()), nothing]
    now += HELD_FOR_MS
    assert store.take_due() == nothing
    store.hold([review.review_id])
    now += HELD_FOR_MS
    assert store.take_due() == nothing, "its sender is still at it"
    now += 1
    assert [store.take_due(), store.take_due()] == [(set(), mine), nothing]
    assert len(store.unsent()) == 1
    assert store.mark_sent(review.review_id)
    now += HELD_FOR_MS + 1
    assert (store.take_due(), store.unsent()) == (nothing, [])


def test_what_is_undone_waits_as_before_and_can_be_decided_by_others(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    before = store.get("t-1")
    store.decide(review.review_id, None, "ann", "spam", T0, undo_ms=10_000)
    assert ids(store) == []
    assert store.undo(review.review_id, "ann", T0 + 5) == before
    assert ids(store) == ["t-1"]
    store.decide(review.review_id, "refund", "bob", "", T0 + 6)
    [decision] = store.unsent()
    assert (decision.verdict.decided_by, decision.verdict.decision) == ("bob", 1)
    actions = [(each.name, each.action) for each in Journal(store.database).of_review(review.review_id)]
    assert actions == [("ann", "decide"), ("ann", "undo"), ("bob", "decide")]


def test_a_decision_that_waits_for_its_undo_is_a_decision_for_everybody_else(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    store.decide(review.review_id, "refund", "ann", "", T0, undo_ms=10_000)
    with pytest.raises(AlreadyDecided):
        store.decide(review.review_id, "shipping", "bob", "", T0 + 1)


def test_an_undone_review_whose_ticket_has_come_again_is_closed(store: ReviewStore) -> None:
    earlier, later = (
        doubt("t-1").model_copy(update={"review_id": Review.id_for("t-1", n), "revision": n}) for n in (1, 2)
    )
    store.add(earlier)
    store.decide(earlier.review_id, "refund", "ann", "", T0, undo_ms=10_000)
    store.add(later)
    assert store.undo(earlier.review_id, "ann", T0 + 1).closed_by == "superseded"


def test_a_correction_is_not_sent_by_who_sent_the_decision_before(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    store.decide(review.review_id, "refund", "ann", "", T0)
    assert store.mark_sent(review.review_id, 1)
    store.correct(review.review_id, "shipping", "lea", "", T0 + 1)
    assert not store.mark_sent(review.review_id, 1)
    assert [each.verdict.decision for each in store.unsent()] == [2]


# The queue.


def test_pages_cover_the_queue_once_in_its_order_while_it_is_decided(store: ReviewStore) -> None:
    store.add_all(doubt(f"t-{n:02}", 2.0 if n < 9 else 1.0 / n) for n in range(20))
    queue, seen, after = Queue(store), [], None
    for _ in range(20):
        page = queue.page(Filter(), T0, limit=3, after=after)
        seen += [item.review.ticket_id for item in page.items]
        store.decide(page.items[0].review.review_id, "refund", "ann", "", T0)
        after = page.after and Place.of(page.after.token())
        if after is None:
            break
    assert sorted(seen) == [f"t-{n:02}" for n in range(20)]
    assert seen[9:] == [f"t-{n:02}" for n in range(9, 20)]


@pytest.mark.parametrize("token", ["", "x", "W10=", "WzEsMl0=", "WyJhIiwxLCJiIl0=", "!!!!", "eyJhIjoxfQ==", "é"])
def test_a_link_that_was_made_up_names_no_place(token: str) -> None:
    assert Place.of(token) is None


def test_filters_keep_what_fits_and_count_it(store: ReviewStore) -> None:
    odd = doubt("t-2", slice="vip", text="Ünïcode 100% \"quoted\" 'n' a_b REFUND").model_copy(
        update={"suggested": "account", "reasons": ("big:no_signal:refused",)}
    )
    store.add_all([doubt("t-1", text="where is my parcel"), odd])
    for chosen in (
        Filter(label="account"),
        Filter(reason="no_signal"),
        Filter(slice="vip"),
        Filter(text="refund"),
        Filter(text="QUOTED"),
        Filter(text="100% a_b"),
        Filter(text='"quoted" n'),
        Filter(label="account", text="refund", reason="refused"),
    ):
        assert ids(store, chosen) == ["t-2"], chosen
        assert Queue(store).count(chosen, T0) == (1, False)
    for chosen in (
        Filter(label="nothing"),
        Filter(reason="no%signal"),
        Filter(text="parcel refund"),
        Filter(text="a\0b"),
        Filter(text='" OR "parcel'),
        Filter(older_than_s=1),
        Filter(flagged=True),
    ):
        assert ids(store, chosen) == [], chosen
    assert ids(store, Filter(older_than_s=1), at_ms=T0 + 1_000) == ["t-1", "t-2"]
    assert MAX_COUNT == 10_000


def test_a_search_for_words_that_many_texts_have_finds_the_same(
    store: ReviewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["where is my Parcel", "pärcel 7%", "PARCEL of ÄRGER", "refund", 'a "parcel" 7% ärger']
    store.add_all(doubt(f"t-{n}", 9.0 - n, text=text, slice="vip" if n % 2 else None) for n, text in enumerate(texts))
    words = ("parcel", "PARCEL", "7%", "my parcel", '"parcel"', "nothing", "refund", "r", "ärger")
    chosen = [Filter(text=word) for word in words] + [Filter(text="parcel", slice="vip"), Filter(older_than_s=1)]
    chosen += [Filter(reason="low_confidence"), Filter(reason="tiers", text="parcel"), Filter(reason="novel")]
    found = [ids(store, each, at_ms=T0 + 1_000) for each in chosen]
    assert found[0] == found[1] == ["t-0", "t-2", "t-4"]
    counted = [Queue(store).count(each, T0 + 1_000) for each in chosen]
    assert counted == [(len(each), False) for each in found]
    for each, fit in zip(chosen, found, strict=True):
        page, count, is_more = Queue(store).look(each, T0 + 1_000, limit=1)
        assert ([item.review.ticket_id for item in page.items], count, is_more) == (fit[:1], len(fit), False)
    monkeypatch.setattr(queue_module, "_FEW", 0)
    assert [ids(store, each, at_ms=T0 + 1_000) for each in chosen] == found
    assert Queue(store).count(Filter(text="parcel"), T0) == (0, True), "they would all have to be read"
    assert Queue(store).count(Filter(text="nothing"), T0) == (0, False)


def test_the_counts_that_are_kept_are_those_that_are_there(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_counts, "_MANY", 20)
    chance = random.Random(5)
    reviews = [doubt(f"t-{n}") for n in range(12)]

    def step() -> None:
        one = chance.choice(reviews)
        label = chance.choice([None, "refund", "account"])
        what = chance.randrange(7)
        try:
            if what == 0:
                store.add_all(chance.sample(reviews, 5))
            elif what == 1:
                store.decide(one.review_id, label, "ann", "", T0, undo_ms=chance.choice([0, 10]))
            elif what == 2:
                store.undo(one.review_id, "ann", T0)
            elif what == 3:
                store.mark_sent(one.review_id)
            elif what == 4:
                store.correct(one.review_id, label, "ann", "", T0)
            elif what == 5:
                store.send_again([one.ticket_id], Again(7, "ann", T0))
            else:
                with store.database.transaction() as connection:
                    for table in (REVIEWS, TEXTS):
                        connection.execute(sa.delete(table).where(table.c.review_id == one.review_id))
        except DecisionRefused:
            pass

    labelled = REVIEWS.c.label.is_not(None)
    there = sa.select(REVIEWS.c.state, labelled, sa.func.count()).group_by(REVIEWS.c.state, labelled)
    seen = set()
    for _ in range(300):
        step()
        with store.database.transaction() as connection:
            kept = {key: count for key, count in kept_counts.kept(connection).items() if count}
            rows = connection.execute(sa.select(sa.func.count()).select_from(COUNTS)).scalar_one()
            assert kept == {(state, bool(has)): count for state, has, count in connection.execute(there)}
        assert rows <= 30, "changes are added up"
        seen |= kept.keys()
    assert len(seen) >= 6


def test_what_a_release_before_wrote_is_filled_in(store: ReviewStore) -> None:
    store.add_all([doubt("t-1", text="where is my parcel"), doubt("t-2")])
    empty = {"suggested": None, "slice": None, "reasons": None, "text_digest": None}
    with store.database.transaction() as connection:
        connection.execute(sa.update(REVIEWS).where(REVIEWS.c.ticket_id == "t-1").values(empty))
        connection.execute(sa.text("DELETE FROM hedgerow_texts"))
    assert ids(store, Filter(text="parcel")) == ids(store, Filter(label="shipping", text="parcel")) == []
    assert fill(store.database) == 1
    assert fill(store.database) == 0
    assert ids(store, Filter(label="shipping", text="parcel")) == ["t-1"]


def test_the_next_ticket_is_one_that_nobody_has_open_and_oneself_has_not_skipped(store: ReviewStore) -> None:
    reviews = [doubt(f"t-{n}", 3.0 - n) for n in range(3)]
    store.add_all(reviews)
    queue, claims = Queue(store), Claims(store.database)

    def next_for(name: str, at_ms: int = T0, chosen: Filter = Filter()) -> str | None:  # noqa: B008
        item = queue.next_for(name, chosen, at_ms)
        return None if item is None else item.review.ticket_id

    claims.take(reviews[0].review_id, "ann", T0, T0 + 10)
    queue.mark(reviews[1].review_id, "skip", "bob", T0 + 20)
    assert (next_for("ann"), next_for("bob"), next_for("eve")) == ("t-0", "t-2", "t-1")
    assert next_for("bob", T0 + 10) == "t-0", "the claim has ended"
    assert next_for("bob", T0, Filter(label="refund")) is None
    claims.take(reviews[0].review_id, "ann", T0 + 10, T0 + 90)
    assert next_for("bob", T0 + 20) == "t-1", "so has the skip"


def test_flags_stay_until_they_are_taken_off(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add_all([review, doubt("t-2")])
    queue = Queue(store)
    queue.mark(review.review_id, "flag", "ann", 5, "angry")
    queue.mark(review.review_id, "flag", "ann", 6, "very angry")
    assert queue.flags(review.review_id) == [("ann", "very angry", 6)]
    assert queue.page(Filter(), T0).flags == {review.review_id}
    assert ids(store, Filter(flagged=True)) == ["t-1"]
    queue.unmark(review.review_id, "flag")
    assert ids(store, Filter(flagged=True)) == []


def test_equal_texts_are_found(store: ReviewStore) -> None:
    store.add_all([doubt("t-1", 1.0, text="same"), doubt("t-2", 2.0, text="same"), doubt("t-3", text="same ")])
    found = Queue(store).equal_texts(digest_of("same"), 9)
    assert [item.review.ticket_id for item in found] == ["t-2", "t-1"]


def test_equal_texts_are_looked_up_and_not_searched_for_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes any index that spares it a sort: it would read the whole queue in its order."""
    store = ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}")
    queries: list[sa.Select[tuple[object]]] = []
    monkeypatch.setattr(store, "items", lambda query: queries.append(query) or [])
    Queue(store).equal_texts(b"digest", 9)
    Queue(store).those(["id"])
    with store.database.transaction() as connection:
        plans = []
        for query in queries:
            text = str(query.compile(connection.engine, compile_kwargs={"render_postcompile": True}))
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("x",) * text.count("?"))
            plans.append(" ".join(row[3] for row in rows))
    assert "hedgerow_reviews_text (text_digest=?)" in plans[0]
    assert "sqlite_autoindex_hedgerow_reviews_1 (review_id=?)" in plans[1]
    store.close()


# Journal and sessions.


def test_the_journal_tells_who_did_what(store: ReviewStore) -> None:
    journal = Journal(store.database)
    for at_ms, name, detail in ((1, "ann", "10.0.0.1"), (2, "ann", "10.0.0.2"), (3, "nul\0", "10.0.0.1")):
        journal.add(Entry(at_ms, name, Action.LOGIN_FAILED, detail=detail))
    journal.add(Entry(4, "ann", Action.LOGIN))
    assert [each.at_ms for each in journal.latest(2)] == [4, 3]
    assert [each.at_ms for each in journal.latest(9, name="ann", action="login_failed")] == [2, 1]
    assert [each.at_ms for each in journal.latest(9, before=3)] == [2, 1]
    assert journal.count(Action.LOGIN_FAILED, 2) == 2
    assert journal.count(Action.LOGIN_FAILED, 0, name="ann") == 2
    assert journal.count(Action.LOGIN_FAILED, 0, name="ann", detail="10.0.0.1") == 1
    assert journal.last_id() == 4


def test_a_session_ends_by_itself_and_by_a_logout(store: ReviewStore) -> None:
    sessions = Sessions(store.database)
    token, started = sessions.start("ann", None, 0, 100)
    other, _ = sessions.start("bob", "lead", 0, 200)
    assert sessions.find(token, 99) == started
    assert sessions.find(token, 100) is None
    assert sessions.find("made up", 0) is None
    found = sessions.find(other, 150)
    assert found is not None
    assert (found.name, found.role) == ("bob", "lead")
    sessions.end(other)
    assert sessions.find(other, 0) is None
    with store.database.transaction() as connection:
        kept = b"".join(row[0] for row in connection.execute(sa.text("SELECT token FROM hedgerow_sessions")))
    assert token.encode() not in kept

"""The review store: order, idempotence, one winner per review, decisions that wait to be sent, unusable stores."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from schemas import Call, Reason, Review, Ticket, Unscorable, WireFormat, rank
from streams.errors import SettingsError, TryAgain
from streams.reviews.decision import AlreadyDecided, Decision, DecisionRefused, outcome_of
from streams.reviews.store import Again, Counts, ReviewStore
from tests.support.messages import routed

ODD_IDS = [
    "a b",
    "'; DROP TABLE hedgerow_reviews; --",
    "100%_\\",
    "nul\0inside",
    "Ünïcödé 工单 🌿",
    "e\u0301",
    "\u00e9",
    "line\nbreak",
    "UPPER",
    "upper",
    "trailing ",
    "x" * 256,
]
Open = Callable[..., ReviewStore]


def doubt(ticket_id: str, uncertainty: float = 1.0, text: str = "where is my money") -> Review:
    call = Call(tier="big", model_asked="large", prompt_hash="p", signal=Unscorable(reason=Reason.NO_ANSWER))
    return Review(
        review_id=Review.id_for(ticket_id),
        ticket=Ticket(ticket_id=ticket_id, text=text),
        calls=(call,),
        reasons=("big:no_answer",),
        uncertainty=uncertainty,
        policy_id="policy-1",
    )


def ids(store: ReviewStore, limit: int = 100, offset: int = 0) -> list[str]:
    return [item.review.ticket_id for item in store.waiting(limit, offset)]


def turned(ticket_id: str, revision: int, run: int) -> Review:
    """A review of one text of a ticket in one run."""
    review_id = Review.id_for(ticket_id, revision, run)
    return doubt(ticket_id).model_copy(update={"review_id": review_id, "revision": revision, "run": run})


def test_a_review_comes_back_as_it_went_in(url: str, open_store: Open) -> None:
    store = open_store(url, wall_ms=lambda: 1_700_000_000_123)
    large = doubt("t-1", text="ä\0🌿\n" * 25_000)
    assert store.add(large)
    item = open_store(url).get("t-1")
    assert item is not None
    assert (item.review, item.added_ms, item.decision) == (large, 1_700_000_000_123, None)


def test_order_is_uncertainty_then_age(url: str, open_store: Open) -> None:
    now = iter([60, 50, 40, 30, 20, 10])
    store = open_store(url, wall_ms=lambda: next(now))
    for ticket_id, uncertainty in [("4th", 2.0), ("3rd", 2.0), ("2nd", 2.0), ("last", 0.5), ("top", 2.5), ("1st", 2.0)]:
        store.add(doubt(ticket_id, uncertainty))
    assert ids(store) == ["top", "1st", "2nd", "3rd", "4th", "last"]
    assert ids(store, limit=2) == ["top", "1st"]
    assert ids(store, limit=2, offset=4) == ["4th", "last"]
    assert ids(store, limit=2, offset=6) == []


def test_pages_cover_equals_once_each(store: ReviewStore) -> None:
    store.add_all(doubt(f"t-{n}", 1.0) for n in range(25))
    pages = [ticket_id for offset in range(0, 25, 4) for ticket_id in ids(store, 4, offset)]
    assert sorted(pages) == sorted(f"t-{n}" for n in range(25))


def test_adding_again_changes_nothing(url: str, open_store: Open) -> None:
    now = iter([1, 2, 3])
    store = open_store(url, wall_ms=lambda: next(now))
    assert store.add(doubt("t-1", 1.0))
    assert not store.add(doubt("t-1", 2.0, text="another text"))
    item = store.get("t-1")
    assert item is not None
    assert (item.review, item.added_ms) == (doubt("t-1", 1.0), 1)
    assert store.add_all([doubt("t-3"), doubt("t-1"), doubt("t-2"), doubt("t-2")]) == 2
    assert store.counts() == Counts(waiting=3, decided=0, oldest_ms=1)


def test_adding_nothing_is_nothing(store: ReviewStore) -> None:
    assert store.add_all([]) == 0
    assert store.counts() == Counts(waiting=0, decided=0)


def test_a_thousand_at_once_are_counted(store: ReviewStore) -> None:
    assert store.add_all(doubt(f"t-{n}") for n in range(1500)) == 1500
    assert store.add_all(doubt(f"t-{n}") for n in range(1400, 1600)) == 100


@pytest.mark.parametrize("state", ["decided", "sent"])
def test_adding_again_never_reopens(store: ReviewStore, state: str) -> None:
    review = doubt("t-1")
    store.add(review)
    decision = store.decide(review.review_id, "billing", "ann", "clear", 7)
    if state == "sent":
        store.mark_sent(review.review_id)
    assert not store.add(review)
    assert store.counts() == Counts(waiting=0, decided=1)
    item = store.get(review.review_id)
    assert item is not None
    assert item.decision == Decision(decision.verdict, decision.routed, sent=state == "sent")


def test_odd_ids_keep_apart_and_are_found(store: ReviewStore) -> None:
    assert store.add_all(doubt(odd) for odd in ODD_IDS) == len(ODD_IDS)
    for odd in ODD_IDS:
        for key in (odd, Review.id_for(odd)):
            item = store.get(key)
            assert item is not None
            assert item.review.ticket_id == odd
        decision = store.decide(Review.id_for(odd), odd, odd, odd, 1)
        assert decision == next(d for d in store.unsent() if d.verdict.ticket_id == odd)
    assert sorted(d.verdict.label for d in store.unsent()) == sorted(ODD_IDS)


@pytest.mark.parametrize("missing", ["", "t-2", "%", "\udcff", "t-1\0"])
def test_what_is_not_here_is_none(store: ReviewStore, missing: str) -> None:
    store.add(doubt("t-1"))
    assert store.get(missing) is None
    with pytest.raises(DecisionRefused, match="no review"):
        store.decide(missing, "billing", "ann", "", 1)
    assert not store.mark_sent(missing)


def test_a_review_id_goes_before_a_ticket_that_is_named_like_it(url: str, open_store: Open) -> None:
    now = iter([1, 2])
    store = open_store(url, wall_ms=lambda: next(now))
    store.add(doubt("t-1"))
    store.add(doubt(Review.id_for("t-1")))
    item = store.get(Review.id_for("t-1"))
    assert item is not None
    assert item.review.ticket_id == "t-1"


def test_of_two_reviews_of_one_ticket_the_later_is_found(url: str, open_store: Open) -> None:
    now = iter([1, 2, 0])
    store = open_store(url, wall_ms=lambda: next(now))
    for review_id in ("second", "third", "first"):
        store.add(doubt("t-1").model_copy(update={"review_id": review_id}))
    item = store.get("t-1")
    assert item is not None
    assert item.review.review_id == "third"


def test_a_ticket_id_does_not_decide(store: ReviewStore) -> None:
    store.add(doubt("t-1"))
    with pytest.raises(DecisionRefused, match="no review 't-1'"):
        store.decide("t-1", "billing", "ann", "", 1)
    assert store.counts().waiting == 1


def test_decide_stores_the_messages_to_send(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add_all([review, doubt("t-2")])
    decision = store.decide(review.review_id, "billing", "ann", "line 2", 99)
    assert decision == Decision(*outcome_of(review, "billing", "ann", "line 2", 99), sent=False)
    assert ids(store) == ["t-2"]
    counts = store.counts()
    assert (counts.waiting, counts.decided) == (1, 1)
    assert store.unsent() == [decision]


def test_the_same_again_returns_the_first_decision(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    first = store.decide(review.review_id, "billing", "ann", "first", 1)
    assert store.decide(review.review_id, "billing", "ann", "second", 2) == first
    store.mark_sent(review.review_id)
    assert store.decide(review.review_id, "billing", "ann", "third", 3) == Decision(
        first.verdict, first.routed, sent=True
    )


@pytest.mark.parametrize(("label", "by"), [("refund", "bob"), ("refund", "ann"), ("billing", "bob")])
def test_a_second_decision_hears_who_decided_what(store: ReviewStore, label: str, by: str) -> None:
    review = doubt("t-1")
    store.add(review)
    first = store.decide(review.review_id, "billing", "ann", "", 1)
    with pytest.raises(AlreadyDecided, match=r"'ann' has already decided .* as 'billing'") as refused:
        store.decide(review.review_id, label, by, "", 2)
    assert refused.value.decision == first
    assert store.unsent() == [first]


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_texts_and_runs_of_a_ticket_the_latest_waits(store: ReviewStore, order: int) -> None:
    turns = [(1, 0), (1, 3), (2, 0)][::order]
    for revision, run in turns:
        store.add(turned("t-1", revision, run))
    store.add(turned("t-2", 1, 0))
    waiting = {(item.review.ticket_id, item.review.revision, item.review.run) for item in store.waiting(10)}
    assert waiting == {("t-1", 2, 0), ("t-2", 1, 0)}
    assert (store.counts().waiting, store.counts().closed) == (2, 2)
    latest = store.get("t-1")
    assert latest is not None
    assert latest.review.revision == 2
    first = store.get(Review.id_for("t-1", 1, 3))
    assert first is not None
    assert (first.closed_by, first.decision) == ("superseded", None)
    with pytest.raises(DecisionRefused, match="has come again since"):
        store.decide(first.review.review_id, "billing", "ann", "", 5)
    with pytest.raises(DecisionRefused, match="has come again since"):
        store.correct(first.review.review_id, "billing", "ann", "", 5)


def test_a_later_text_leaves_a_decision_as_it_is(store: ReviewStore) -> None:
    store.add(turned("t-1", 1, 0))
    decision = store.decide(Review.id_for("t-1", 1, 0), "billing", "ann", "", 5)
    store.add(turned("t-1", 2, 0))
    assert store.unsent() == [decision]
    assert store.counts() == Counts(1, 1, store.counts().oldest_ms)


def test_a_correction_counts_more_than_what_it_corrects(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    with pytest.raises(DecisionRefused, match="is not decided yet"):
        store.correct(review.review_id, "billing", "ann", "", 4)
    first = store.decide(review.review_id, "billing", "ann", "", 5)
    with pytest.raises(DecisionRefused, match="has not been sent yet"):
        store.correct(review.review_id, "refund", "bob", "", 6)
    decisions = [first]
    for number, label in enumerate(["refund", None, "refund"], start=2):
        assert store.mark_sent(review.review_id, number - 1)
        decisions.append(store.correct(review.review_id, label, "bob", "looked again", 6))
        assert decisions[-1].verdict.decision == decisions[-1].routed.decision == number
        assert store.unsent() == [decisions[-1]]
    assert [each.verdict.corrected for each in decisions] == [False, True, True, True]
    assert len({each.verdict.verdict_id for each in decisions}) == 4
    assert len({each.routed.result_id for each in decisions}) == 1
    ranks = [rank(each.routed) for each in decisions]
    assert ranks == sorted(set(ranks))


def test_a_run_that_did_not_live_to_say_so_is_seen_by_its_result_or_its_review(store: ReviewStore) -> None:
    store.add_all([turned(name, 1, 0) for name in ("a", "b", "c")])
    store.send_again(["a", "b", "c"], AGAIN)
    store.add(turned("a", 1, 7))
    assert store.close_superseded({"b": (1, 7)}.get) == 1
    assert [each.review.ticket_id for each in store.unfinished()] == ["c"]


def test_a_result_that_was_in_no_review_is_corrected(store: ReviewStore) -> None:
    result = routed(label="billing", ticket_id="t-1", revision=5, run=2)
    decision = store.correct_result(result, Ticket(ticket_id="t-1", text="where is it"), "refund", "ann", "seen", 6)
    assert store.unsent() == [decision]
    verdict, corrected = decision.verdict, decision.routed
    assert (verdict.label, verdict.suggested, verdict.corrected, verdict.calls) == (
        "refund",
        "billing",
        True,
        result.calls,
    )
    assert verdict.purpose == "correction"
    assert rank(corrected) > rank(result)
    assert corrected.result_id == result.result_id
    assert store.counts() == Counts(waiting=0, decided=1)
    with pytest.raises(DecisionRefused, match="has a review by now"):
        store.correct_result(result, Ticket(ticket_id="t-1", text="where is it"), "refund", "bob", "", 7)
    store.mark_sent(verdict.review_id)
    assert rank(store.correct(verdict.review_id, "billing", "bob", "", 8).routed) > rank(corrected)


def test_a_decision_from_elsewhere_is_corrected_by_the_next_one(store: ReviewStore) -> None:
    result = routed(ticket_id="t-1", decided_by="human", decision=3, confidence=None, entropy=None)
    corrected = store.correct_result(result, Ticket(ticket_id="t-1", text="where is it"), "refund", "ann", "", 6)
    assert rank(corrected.routed) > rank(result)
    assert store.mark_sent(corrected.verdict.review_id, 4)


def test_of_two_corrections_at_once_one_wins(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    review = doubt("t-1")
    store.add(review)
    store.decide(review.review_id, "billing", "ann", "", 5)
    store.mark_sent(review.review_id)
    stale = store.get(review.review_id)
    assert stale is not None
    store.correct(review.review_id, "refund", "bob", "", 6)
    assert store.mark_sent(review.review_id, 2)
    monkeypatch.setattr(store, "get", lambda _id: stale)
    with pytest.raises(DecisionRefused, match="corrected by somebody else"):
        store.correct(review.review_id, "refund", "eve", "", 7)


def test_no_label_fits(store: ReviewStore) -> None:
    for ticket_id in ("t-1", "t-2", "t-3"):
        store.add(doubt(ticket_id))
    decision = store.decide(Review.id_for("t-1"), None, "ann", "spam", 99)
    store.decide(Review.id_for("t-2"), "billing", "ann", "", 99)
    assert (decision.verdict.label, decision.routed.label) == (None, None)
    assert decision.routed.reasons == (*doubt("t-1").reasons, "none_of_these")
    counts = store.counts()
    assert (counts.waiting, counts.decided, counts.none_of_these) == (1, 2, 1)
    store.mark_sent(Review.id_for("t-1"))
    assert store.counts() == counts
    with pytest.raises(AlreadyDecided, match="none of the labels"):
        store.decide(Review.id_for("t-1"), "billing", "bob", "", 100)


def test_no_label_fits_is_refused_while_readers_know_no_such_result(url: str, open_store: Open) -> None:
    store = open_store(url, wire=WireFormat(1))
    store.add(doubt("t-1"))
    with pytest.raises(DecisionRefused, match=r"set messages\.write: 2"):
        store.decide(Review.id_for("t-1"), None, "ann", "", 99)
    assert store.counts().waiting == 1


def test_an_unknown_label_is_refused_with_the_known_ones(url: str, open_store: Open) -> None:
    store = open_store(url, labels=["refund", "billing"])
    review = doubt("t-1")
    store.add(review)
    with pytest.raises(DecisionRefused, match="no label 'refunds'; there are: billing, refund"):
        store.decide(review.review_id, "refunds", "ann", "", 1)
    assert store.counts().waiting == 1
    assert store.decide(review.review_id, "refund", "ann", "", 1).verdict.label == "refund"


def test_an_impossible_decision_changes_nothing(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add(review)
    with pytest.raises(DecisionRefused, match="decided_by"):
        store.decide(review.review_id, "billing", "", "", 1)
    counts = store.counts()
    assert (counts.waiting, counts.decided) == (1, 0)


AGAIN = Again(7, "ann", 99)


def of_run(review: Review, run: int) -> Review:
    review_id = Review.id_for(review.ticket_id, 0, run)
    return review.model_copy(update={"review_id": review_id, "run": run, "reasons": (f"run {run}",)})


def test_a_review_whose_ticket_goes_through_again_waits_no_more_until_the_run_doubts_it_too(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add_all([review, doubt("t-2")])
    assert store.send_again(["t-1", "unknown"], AGAIN) == set()
    assert ids(store) == ["t-2"]
    item = store.get("t-1")
    assert item is not None
    assert (item.again, item.decision) == (replace(AGAIN, is_sent=False), None)
    assert [each.review.ticket_id for each in store.unfinished()] == ["t-1"], "as long as the broker may not have it"
    store.sent_again(["t-1"], 6)
    assert len(store.unfinished()) == 1
    store.sent_again(["t-1"], AGAIN.run)
    item = store.get("t-1")
    assert item is not None
    assert item.again == AGAIN
    assert store.unfinished() == []
    with pytest.raises(DecisionRefused, match="sent through again in run 7"):
        store.decide(review.review_id, "billing", "bob", "", 1)
    assert not store.add(review), "a redelivery opens nothing"

    assert store.add(of_run(review, 7))
    item = store.get("t-1")
    assert item is not None
    assert (item.again, item.review.reasons) == (None, ("run 7",))
    assert store.add(of_run(review, 6))
    assert [each.review.run for each in store.waiting(9) if each.review.ticket_id == "t-1"] == [7]
    assert store.decide(item.review.review_id, "billing", "bob", "", 1).routed.run == 7


def test_a_decision_stands_until_a_later_review_of_its_ticket(store: ReviewStore) -> None:
    review = doubt("t-1")
    store.add_all([review, doubt("t-2")])
    decision = store.decide(review.review_id, "billing", "ann", "", 1)
    assert store.decided(["t-1", "t-2", "unknown"]) == {"t-1"}
    assert store.send_again(["t-1", "t-2"], AGAIN) == {"t-1"}
    assert store.unsent() == [decision]
    assert store.add(of_run(review, 7))
    assert store.decided(f"t-{n}" for n in range(1_100)) == set()
    assert ids(store) == ["t-1"]


def test_every_review_is_listed_once(store: ReviewStore) -> None:
    store.add_all(doubt(f"t-{n}") for n in range(1_100))
    store.decide(Review.id_for("t-5"), "billing", "ann", "", 1)
    found = [item.review.ticket_id for item in store.each()]
    assert len(found) == len(set(found)) == 1_100


def test_sent_decisions_leave_the_outbox_once(store: ReviewStore) -> None:
    reviews = [doubt("t-1"), doubt("t-2")]
    store.add_all(reviews)
    assert not store.mark_sent(reviews[0].review_id), "nobody has decided yet"
    assert store.counts().waiting == 2
    store.decide(reviews[0].review_id, "billing", "ann", "", 20)
    store.decide(reviews[1].review_id, "refund", "ann", "", 10)
    assert [decision.verdict.ticket_id for decision in store.unsent()] == ["t-2", "t-1"]
    assert store.mark_sent(reviews[0].review_id)
    assert not store.mark_sent(reviews[0].review_id)
    assert [decision.verdict.ticket_id for decision in store.unsent()] == ["t-2"]
    assert store.counts() == Counts(waiting=0, decided=2)


def test_threads_that_decide_at_once_leave_one_winner_per_review(url: str, open_store: Open) -> None:
    reviews = [doubt(f"t-{n}") for n in range(10)]
    people = ["ann", "bob", "cem", "dot"]
    stores = {person: open_store(url) for person in people}  # opened at once too: the tables do not exist yet
    barrier = Barrier(len(people))

    def work(person: str) -> list[str]:
        won = []
        barrier.wait(30)
        stores[person].add_all(reviews)
        for review in reviews:
            barrier.wait(30)
            try:
                decision = stores[person].decide(review.review_id, f"label of {person}", person, "", 1)
            except AlreadyDecided as refused:
                decision = refused.decision
            if decision.verdict.decided_by == person:
                won.append(review.ticket_id)
        return won

    with ThreadPoolExecutor(len(people)) as pool:
        won = dict(zip(people, pool.map(work, people), strict=True))
    assert sorted(ticket_id for ticket_ids in won.values() for ticket_id in ticket_ids) == sorted(
        review.ticket_id for review in reviews
    )
    decided = {decision.verdict.ticket_id: decision.verdict for decision in stores["ann"].unsent()}
    for person, ticket_ids in won.items():
        assert {(decided[t].decided_by, decided[t].label) for t in ticket_ids} <= {(person, f"label of {person}")}


def test_first_use_by_many_at_once(url: str, open_store: Open) -> None:
    stores = [open_store(url) for _ in range(8)]
    barrier = Barrier(len(stores))

    def first_use(n: int) -> bool:
        barrier.wait(30)
        return stores[n].add(doubt(f"t-{n}"))

    with ThreadPoolExecutor(len(stores)) as pool:
        assert all(pool.map(first_use, range(len(stores))))
    assert stores[0].counts().waiting == len(stores)


# Other processes: spawned, so that no connection is inherited.


def write_reviews(url: str, count: int) -> None:
    with closing(ReviewStore(url)) as store:
        for n in range(count):
            store.add(doubt(f"t-{n}", uncertainty=n % 7))


def decide_everything(url: str, count: int, person: str, outcome: Any) -> None:
    won = 0
    with closing(ReviewStore(url)) as store:
        while store.counts().decided < count:
            for item in store.waiting(5):
                try:
                    won += store.decide(item.review.review_id, person, person, "", 1).verdict.decided_by == person
                except AlreadyDecided:
                    pass  # the other process was first, as one of them has to be
    outcome.put((person, won))


def decide_and_die(url: str, review_id: str) -> None:
    ReviewStore(url).decide(review_id, "billing", "ann", "then the power failed", 5)
    os._exit(9)


def test_one_process_writes_while_two_decide(url: str, open_store: Open) -> None:
    spawn = multiprocessing.get_context("spawn")
    outcome = spawn.Queue()
    count = 60
    processes = [
        spawn.Process(target=decide_everything, args=(url, count, name, outcome), daemon=True)
        for name in ("ann", "bob")
    ]
    for process in processes:
        process.start()
    write_reviews(url, count)
    won = dict(outcome.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    decisions = open_store(url).unsent()
    assert len(decisions) == count
    for name in ("ann", "bob"):
        assert won[name] == sum(decision.verdict.decided_by == name for decision in decisions)


def test_a_crash_after_decide_leaves_the_decision_to_be_sent(url: str, open_store: Open) -> None:
    store = open_store(url)
    review = doubt("t-1")
    store.add(review)
    process = multiprocessing.get_context("spawn").Process(target=decide_and_die, args=(url, review.review_id))
    process.start()
    process.join()
    assert process.exitcode == 9
    (left,) = store.unsent()
    assert left == Decision(*outcome_of(review, "billing", "ann", "then the power failed", 5), sent=False)
    assert store.mark_sent(review.review_id)
    assert open_store(url).unsent() == []


# Stores that cannot be used.


def run_sql(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def test_a_store_of_a_newer_release_is_refused_untouched(url: str, open_store: Open) -> None:
    run_sql(
        url,
        "CREATE TABLE hedgerow_schema (version INTEGER)",
        "INSERT INTO hedgerow_schema VALUES (2)",
    )
    with pytest.raises(SettingsError) as refused:
        open_store(url).add(doubt("t-1"))
    assert "schema version 2, this release reads 1" in one_line(refused.value)
    engine = sa.create_engine(url)
    assert sa.inspect(engine).get_table_names() == ["hedgerow_schema"]
    engine.dispose()


def test_tables_that_are_not_ours_are_refused(url: str, open_store: Open) -> None:
    run_sql(url, "CREATE TABLE hedgerow_reviews (review_id INTEGER)")
    with pytest.raises(SettingsError, match="cannot be used") as refused:
        open_store(url).counts()
    one_line(refused.value)


def test_a_review_of_a_newer_release_is_named(url: str, open_store: Open) -> None:
    store = open_store(url)
    store.add(doubt("t-1"))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        newer = doubt("t-1").encode().replace(b'"v":2', b'"v":9', 1)
        connection.execute(sa.text("UPDATE hedgerow_reviews SET review = :newer"), {"newer": newer})
    engine.dispose()
    with pytest.raises(SettingsError, match="holds a review that this release cannot read"):
        store.waiting(1)


def test_a_missing_folder_is_named(tmp_path: Path, open_store: Open) -> None:
    with pytest.raises(SettingsError, match="no-such-folder") as refused:
        open_store(f"sqlite:///{tmp_path}/no-such-folder/reviews.db").counts()
    assert "unable to open" in one_line(refused.value)


def test_a_damaged_file_is_refused(tmp_path: Path, open_store: Open) -> None:
    (tmp_path / "reviews.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(SettingsError) as refused:
        open_store(f"sqlite:///{tmp_path}/reviews.db").counts()
    one_line(refused.value)


@pytest.mark.parametrize(
    "url",
    ["", "reviews.db", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "postgresql://u:hunter2@host:port/db"],
)
def test_an_unusable_url_is_refused_at_once_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite:///PATH") as refused:
        ReviewStore(url)
    assert "hunter2" not in one_line(refused.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"hedgerow\[postgres\]"):
        ReviewStore("postgresql://host/db")


def test_a_database_that_is_away_is_try_again_without_its_secrets(open_store: Open) -> None:
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    away = open_store("postgresql://u:hunter2@127.0.0.1:1/db?application_name=hunter2")
    with pytest.raises(TryAgain, match=r"postgresql://u:\*\*\*@127.0.0.1:1/db is busy or unavailable") as refused:
        away.counts()
    assert "hunter2" not in one_line(refused.value)


def test_a_lock_that_lasts_is_try_again_and_readers_do_not_wait(tmp_path: Path, open_store: Open) -> None:
    store = open_store(f"sqlite:///{tmp_path}/reviews.db?timeout=0.01")
    review = doubt("t-1")
    store.add(review)
    with closing(sqlite3.connect(tmp_path / "reviews.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # in WAL mode readers pass even this
        with pytest.raises(TryAgain, match="locked") as refused:
            store.decide(review.review_id, "billing", "ann", "", 1)
        assert ids(store) == ["t-1"]
    one_line(refused.value)
    assert store.decide(review.review_id, "billing", "ann", "", 1).verdict.label == "billing"


def test_an_error_does_not_repeat_what_a_customer_wrote(url: str, open_store: Open) -> None:
    store = open_store(url)
    store.counts()
    run_sql(url, "DROP TABLE hedgerow_reviews")
    with pytest.raises(SettingsError, match="cannot be used") as refused:
        store.add(doubt("card-number", text="card-number"))
    assert "card-number" not in f"{refused.value} {refused.value.__cause__}"

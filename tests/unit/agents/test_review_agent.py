"""The review agent: stored before it is finished, and what a decision becomes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from schemas import Attempt, Call, Reason, Review, Routed, Scored, Ticket, Unscorable, stable_id, topic_of
from streams.agents.review import ReviewHandler
from streams.errors import GiveUp, StopWorker, TryAgain
from streams.reviews.decision import DecisionRefused, outcome_of
from streams.reviews.store import ReviewStore

CHEAP = Call(
    tier="cheap",
    model_asked="small",
    prompt_hash="p1",
    answer="refund",
    signal=Scored(
        label="refund",
        confidence=0.4,
        entropy=1.1,
        token_confidence=0.4,
        token_entropy=1.2,
        top_k_mass=0.97,
        k=5,
        label_probs={"refund": 0.5, "billing": 0.5},
        out_of_label=0.0,
        margin=0.0,
        min_logprob=-0.9,
        mean_logprob=-0.9,
    ),
    attempts=(Attempt(outcome="ok", at_ms=5, latency_ms=80.0, cost_usd=0.25),),
)
BIG = Call(tier="big", model_asked="large", prompt_hash="p1", signal=Unscorable(reason=Reason.REFUSED))
DOUBT = Review(
    review_id=Review.id_for("t-1"),
    ticket=Ticket(ticket_id="t-1", text="where is my money"),
    calls=(CHEAP, BIG),
    reasons=("cheap:entropy", "big:refused"),
    uncertainty=1.1,
    suggested="refund",
    policy_id="policy-7",
)


async def test_handler_ends_with_the_review_committed_and_sends_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/reviews.db"
    with closing(ReviewStore(url)) as store:
        assert list(await ReviewHandler(store)(DOUBT)) == []
        with closing(ReviewStore(url)) as other:
            item = other.get("t-1")
    assert item is not None
    assert item.review == DOUBT


async def test_a_review_under_the_id_of_another_ticket_is_given_up_and_hides_behind_none(tmp_path: Path) -> None:
    """Found by fuzzing: the store has one review for an id, so the second ticket's was taken for the first's."""
    with closing(ReviewStore(f"sqlite:///{tmp_path}/reviews.db")) as store:
        handle = ReviewHandler(store)
        await handle(DOUBT)
        foreign = DOUBT.model_copy(update={"ticket": Ticket(ticket_id="t-2", text="another one")})
        with pytest.raises(GiveUp) as caught:
            await handle(foreign)
        assert caught.value.reason == "wrong_review_id"
        assert store.get("t-2") is None


async def test_redelivery_changes_nothing(tmp_path: Path) -> None:
    with closing(ReviewStore(f"sqlite:///{tmp_path}/reviews.db")) as store:
        handle = ReviewHandler(store)
        await handle(DOUBT)
        store.decide(DOUBT.review_id, "billing", "ann", "", 10)
        assert list(await handle(DOUBT)) == []
        assert (store.counts().waiting, store.counts().decided) == (0, 1)


async def test_locked_database_is_try_again_and_then_works(tmp_path: Path) -> None:
    path = tmp_path / "reviews.db"
    with closing(ReviewStore(f"sqlite:///{path}?timeout=0.01")) as store:
        store.counts()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TryAgain, match="locked"):
                await ReviewHandler(store)(DOUBT)
        await ReviewHandler(store)(DOUBT)
        assert store.counts().waiting == 1


async def test_unusable_store_stops_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "reviews.db"
    path.write_bytes(b"this is a text file, not a database, and long enough to be read as one" * 20)
    with closing(ReviewStore(f"sqlite:///{path}")) as store, pytest.raises(StopWorker, match="not a database"):
        await ReviewHandler(store)(DOUBT)


def test_decision_becomes_a_verdict_and_a_routed_message_decided_by_human() -> None:
    verdict, routed = outcome_of(DOUBT, "billing", "ann", "says so in line 2", 1234)
    assert (verdict.review_id, verdict.ticket_id, verdict.label) == (DOUBT.review_id, "t-1", "billing")
    assert (verdict.decided_by, verdict.note, verdict.at_ms) == ("ann", "says so in line 2", 1234)
    assert (verdict.suggested, verdict.calls) == ("refund", (CHEAP, BIG))
    assert verdict.verdict_id == stable_id("verdict", DOUBT.review_id)
    assert routed.result_id == Routed.id_for("t-1")
    assert (routed.ticket_id, routed.label, routed.decided_by) == ("t-1", "billing", "human")
    assert (routed.confidence, routed.entropy, routed.top_k_mass) == (None, None, None)
    assert (routed.policy_id, routed.reasons, routed.calls) == (DOUBT.policy_id, DOUBT.reasons, DOUBT.calls)
    assert routed.cost_usd == 0.25
    assert [topic_of(message).name for message in (verdict, routed)] == ["verdicts", "routed"]


def test_result_id_depends_on_the_ticket_alone() -> None:
    assert (
        outcome_of(DOUBT, "billing", "ann", "", 1)[1].result_id
        == outcome_of(DOUBT, "other", "bob", "x", 2)[1].result_id
    )


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("label", {"label": ""}),
        ("decided_by", {"by": ""}),
        ("decided_by", {"by": "x" * 257}),
        ("note", {"note": "x" * 4001}),
        ("at_ms", {"at_ms": -1}),
        ("label", {"label": "\ud800"}),
    ],
)
def test_value_that_no_message_can_carry_is_refused_by_name(field: str, change: dict[str, object]) -> None:
    values: dict[str, object] = {"label": "billing", "by": "ann", "note": "", "at_ms": 1, **change}
    with pytest.raises(DecisionRefused, match=f"^{field}: "):
        outcome_of(DOUBT, **values)  # type: ignore[arg-type]

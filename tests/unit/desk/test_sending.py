"""Decisions on their way to the topics: one that the broker refuses holds up no other one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from schemas import Message, Review, Verdict
from streams.desk.sending import Progress, Send, Sent
from streams.desk.sending import send_unsent as send_with
from streams.errors import StopWorker, TryAgain
from streams.kafka.outbox import Refused
from streams.reviews.decision import Decision
from streams.reviews.store import HELD_FOR_MS, ReviewStore
from tests.support.desks import doubt


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReviewStore]:
    with closing(ReviewStore(f"sqlite:///{tmp_path}/reviews.db")) as store:
        store.add_all([doubt(name) for name in "abc"])
        for at_ms, name in enumerate("abc"):
            store.decide(Review.id_for(name), "refund", "rita", "", at_ms)
        yield store


class Broker:
    """Takes messages, but for those of the tickets that it refuses and of those that ``come_with`` them; or fails."""

    def __init__(self, refuses: str = "", *, come_with: str = "", error: Exception | None = None) -> None:
        self.refuses = refuses
        self.come_with = come_with
        self.error = error
        self.sent: list[str] = []
        self.tries = 0

    async def send(self, messages: Sequence[Message]) -> None:
        self.tries += 1
        if self.error is not None:
            raise self.error
        verdicts = [message for message in messages if isinstance(message, Verdict)]
        refused: list[Message] = [each for each in verdicts if each.ticket_id == self.refuses]
        if refused:
            refused += [each for each in verdicts if each.ticket_id in self.come_with]
        self.sent += [each.ticket_id for each in verdicts if each not in refused]
        if refused:
            raise Refused("the broker refuses a message of 2000000 bytes on verdicts", refused, "output_too_large")


async def send_unsent(store: ReviewStore, send: Send, progress: Progress) -> Sent:
    return await send_with(store, send, _look_at_nothing, progress)


async def _look_at_nothing(decisions: Sequence[Decision]) -> set[str]:
    raise AssertionError(decisions)


def mine(store: ReviewStore) -> Progress:
    """Return the progress of a sender that has taken everything."""
    return Progress({each.verdict.verdict_id: each.verdict.review_id for each in store.unsent()})


def unsent(store: ReviewStore) -> list[str]:
    return [decision.verdict.ticket_id for decision in store.unsent()]


async def test_a_decision_that_is_refused_holds_up_no_other_one(store: ReviewStore) -> None:
    broker = Broker("a", come_with="b")
    sent = await send_unsent(store, broker.send, Progress())
    assert (sent.count, broker.sent, unsent(store)) == (2, ["c", "b"], ["a"])
    [(verdict_id, problem)] = sent.refused.items()
    assert verdict_id == Verdict.id_for(Review.id_for("a"), 1)
    assert problem == (
        "the decision on ticket 'a' cannot be sent: the broker refuses a message of 2000000 bytes on verdicts"
    )


async def test_what_was_refused_is_tried_again_only_when_it_is_asked_for(store: ReviewStore) -> None:
    broker, progress = Broker("a"), Progress()
    sent = await send_unsent(store, broker.send, progress)
    tries = broker.tries
    again = await send_unsent(store, broker.send, progress)
    assert (again.count, again.refused, broker.tries) == (0, sent.refused, tries)
    broker.refuses = ""
    assert (await send_unsent(store, broker.send, mine(store))).count == 1
    assert (await send_unsent(store, broker.send, progress)).refused == {}, "it has been sent since"


async def test_what_the_broker_has_is_sent_once_though_the_store_could_not_note_it(
    store: ReviewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, progress = Broker(), Progress()
    with monkeypatch.context() as patch:
        patch.setattr(store, "mark_sent", _unavailable)
        with pytest.raises(TryAgain):
            await send_unsent(store, broker.send, progress)
    assert unsent(store) == ["a", "b", "c"]
    assert (await send_unsent(store, broker.send, progress)).count == 3
    assert (broker.sent, unsent(store)) == (["a", "b", "c"], [])
    await send_unsent(store, broker.send, progress)
    assert progress == Progress(), "nothing is kept of what is over"


async def test_what_another_sender_left_is_looked_for_and_then_sent_if_it_is_not_there(tmp_path: Path) -> None:
    now, broker, looked = 1_000, Broker(), list[str]()

    async def look(decisions: Sequence[Decision]) -> set[str]:
        looked.extend(decision.verdict.ticket_id for decision in decisions)
        return {Verdict.id_for(Review.id_for("a"), 1)}

    with closing(ReviewStore(f"sqlite:///{tmp_path}/others.db", wall_ms=lambda: now)) as store:
        store.add_all([doubt(name) for name in "abc"])
        for name in "ab":
            store.decide(Review.id_for(name), "refund", "rita", "", now)
        store.take_due()
        assert await send_with(store, broker.send, look, Progress()) == Sent(0, {}, left=2)
        now += HELD_FOR_MS + 1
        store.decide(Review.id_for("c"), "refund", "rita", "", now)
        assert await send_with(store, broker.send, look, Progress()) == Sent(2, {})
        assert (sorted(looked), broker.sent, unsent(store)) == (["a", "b"], ["c", "b"], [])


async def test_a_broker_that_takes_nothing_is_no_fault_of_a_decision(store: ReviewStore) -> None:
    broker = Broker(error=StopWorker("no broker"))
    with pytest.raises(StopWorker):
        await send_unsent(store, broker.send, Progress())
    assert (broker.tries, unsent(store)) == (1, ["a", "b", "c"])


async def test_a_correction_is_sent_though_the_decision_before_it_was_sent_just_now(store: ReviewStore) -> None:
    broker, progress = Broker(), Progress()
    await send_unsent(store, broker.send, progress)
    store.correct(Review.id_for("b"), "shipping", "lea", "", 10)
    assert (await send_unsent(store, broker.send, progress)).count == 1
    assert (broker.sent, unsent(store)) == (["a", "b", "c", "b"], [])


def _unavailable(*_: object) -> bool:
    raise TryAgain("the review store is busy or unavailable")

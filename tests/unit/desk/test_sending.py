"""Decisions on their way to the topics: one that the broker refuses holds up no other one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from schemas import Message, Review, Verdict
from streams.desk.sending import send_unsent
from streams.errors import GiveUp, StopWorker
from streams.reviews.store import ReviewStore
from tests.support.desks import doubt


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReviewStore]:
    with closing(ReviewStore(f"sqlite:///{tmp_path}/reviews.db")) as store:
        store.add_all([doubt(name) for name in "abc"])
        for at_ms, name in enumerate("abc"):
            store.decide(Review.id_for(name), "refund", "rita", "", at_ms)
        yield store


class Broker:
    """Takes messages, but for those of the tickets that it refuses, and whatever comes with them."""

    def __init__(self, refuses: str, error: Exception) -> None:
        self.refuses = refuses
        self.error = error
        self.sent: list[str] = []
        self.tries = 0

    async def send(self, messages: Sequence[Message]) -> None:
        self.tries += 1
        verdicts = [message.ticket_id for message in messages if isinstance(message, Verdict)]
        if self.refuses in verdicts:
            raise self.error
        self.sent += verdicts


def unsent(store: ReviewStore) -> list[str]:
    return [decision.verdict.ticket_id for decision in store.unsent()]


async def test_a_decision_that_is_refused_holds_up_no_other_one(store: ReviewStore) -> None:
    broker = Broker("a", GiveUp("the broker refuses a message of 2000000 bytes on verdicts", reason="output_too_large"))
    sent = await send_unsent(store, broker.send)
    assert (sent.count, broker.sent, unsent(store)) == (2, ["b", "c"], ["a"])
    [(review_id, problem)] = sent.refused.items()
    assert review_id == Review.id_for("a")
    assert problem == (
        "the decision on ticket 'a' cannot be sent: the broker refuses a message of 2000000 bytes on verdicts"
    )


async def test_what_was_refused_is_tried_again_only_when_it_is_asked_for(store: ReviewStore) -> None:
    broker = Broker("a", GiveUp("too large", reason="output_too_large"))
    sent = await send_unsent(store, broker.send)
    tries = broker.tries
    again = await send_unsent(store, broker.send, sent.refused)
    assert (again.count, again.refused, broker.tries) == (0, sent.refused, tries)
    broker.refuses = ""
    assert (await send_unsent(store, broker.send)).count == 1
    assert (await send_unsent(store, broker.send, sent.refused)).refused == {}, "it has been sent since"


async def test_a_broker_that_takes_nothing_is_no_fault_of_a_decision(store: ReviewStore) -> None:
    broker = Broker("a", StopWorker("no broker"))
    with pytest.raises(StopWorker):
        await send_unsent(store, broker.send)
    assert (broker.tries, unsent(store)) == (1, ["a", "b", "c"])

"""Outputs that Apache Kafka refuses for their size: the broker refuses whole batches, and only one ticket is to blame."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from schemas import Message, Ticket
from streams.delivery.stage import Delivery
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.kafka import LocalKafka
from tests.support.commands import Hedgerow
from tests.support.letters import LetterBox
from tests.support.messages import review
from tests.support.stages import topics_on, verdict

#: So small that a batch of a dozen good messages is refused, too.
SMALL = {"verdicts": {"max.message.bytes": "2000"}}
COUNT = 150


def compute(ticket: Ticket) -> Sequence[Message]:
    good = verdict(ticket)
    return [good.model_copy(update={"label": "x" * 4000}) if ticket.ticket_id == "3" else good]


async def call_out(ticket: Ticket) -> Sequence[Message]:
    return compute(ticket)


@pytest.mark.kafka
def test_a_decision_that_is_too_large_is_named_and_holds_up_no_other_one(
    kafka_broker: LocalKafka, tmp_path: Path, hedgerow: Hedgerow
) -> None:
    box = LetterBox(kafka_broker, tmp_path)
    box.limit("verdicts", 3000)
    with closing(ReviewStore(f"sqlite:///{tmp_path / 'reviews.db'}")) as store:
        store.add_all([review("large"), review("small")])
    large = hedgerow("review", "decide", "large", "refund", "--note", "x" * 1900, "-c", box.config)
    assert large.code == 1
    assert "the decision on ticket 'large' cannot be sent: the broker refuses a message of" in large.err
    small = hedgerow("review", "decide", "small", "refund", "-c", box.config)
    assert (small.code, small.out) == (1, "small: refund\n"), "it is sent, and the other one is named again"
    assert {record.key for record in box.records("verdicts")} == {b"small"}
    box.limit("verdicts", 1 << 20)
    said = hedgerow("review", "resend", "-c", box.config)
    assert (said.code, said.out) == (0, "1 decision sent\n"), said.err
    assert {record.key for record in box.records("verdicts")} == {b"small", b"large"}


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize(("handler", "in_flight"), [(call_out, 1), (call_out, 50), (compute, 1)])
async def test_one_output_that_is_too_large_becomes_a_letter_and_no_other(
    kafka_broker: LocalKafka, delivery: Delivery, handler: object, in_flight: int
) -> None:
    """A refused batch costs a transaction; in the next one, who was in it goes out in batches apart."""
    names = [str(number) for number in range(COUNT)]
    async with topics_on(kafka_broker, partitions=1, configs=SMALL) as topics:
        await topics.produce(names)
        async with topics.service(handler, delivery=delivery, in_flight=in_flight) as (_, watch):  # type: ignore[arg-type]
            await watch.until(lambda: watch.low == topics.ends)
        assert sorted(await topics.verdicts(COUNT - 1)) == sorted(set(names) - {"3"})
        assert [(letter.offset, letter.reason) for letter in await topics.letters(1)] == [
            (topics.places["3"][1], "output_too_large")
        ]

"""Outputs that Apache Kafka refuses for their size: the broker refuses whole batches, and only one ticket is to blame."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas import Message, Ticket
from streams.delivery.stage import Delivery
from streams.sandbox.brokers.kafka import LocalKafka
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

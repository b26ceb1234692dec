"""A message that comes twice, with a restart in between, is handled once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from schemas import TOPICS, Message, Ticket
from streams.delivery.known_messages import KnownMessages
from streams.kafka.history import history
from streams.sandbox.brokers.broker import Broker
from tests.support.stages import topics_on
from tests.support.watchers import until


async def test_a_message_that_comes_again_after_a_restart_is_not_handled_again(broker: Broker) -> None:
    handled: list[str] = []

    async def handle(ticket: Ticket) -> Sequence[Message]:
        handled.append(ticket.ticket_id)
        return ()

    async with topics_on(broker, partitions=1) as topics:
        for ids in (["a", "b"], ["b", "c"]):
            await topics.produce(ids, partition=0)
            known = KnownMessages(TOPICS["tickets"], partial(history, topics.connection()))
            async with topics.service(handle, read=known.read, finished=known, memory=known):
                await until(lambda last=ids[-1]: last in handled)  # type: ignore[misc]
    assert handled == ["a", "b", "c"]

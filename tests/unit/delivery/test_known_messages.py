"""Messages that are known to be finished by what stands on their topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from schemas import TOPICS
from schemas.headers import LETTER_HEADER
from streams.delivery.handling import id_of
from streams.delivery.known_messages import KnownMessages
from tests.support.messages import escalation

TOPIC = TOPICS["escalations"]
PLACE = ("escalations", 3)


@dataclass(frozen=True)
class Written:
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    topic: str = "escalations"
    partition: int = 3
    offset: int = 0
    key: bytes | None = b"t"
    timestamp: int = -1


class Log:
    """The topic, and how often it was read."""

    def __init__(self, *values: bytes) -> None:
        self.records = [Written(value, offset=offset) for offset, value in enumerate(values)]
        self.asked: list[dict[tuple[str, int], int]] = []

    async def history(self, before: Mapping[tuple[str, int], int], limit: int) -> AsyncIterator[Written]:
        self.asked.append(dict(before))
        for record in self.records[: before[PLACE]][-limit:]:
            yield record


async def test_what_stands_before_the_committed_offset_needs_no_call_after_a_restart() -> None:
    one, other = escalation(ticket_id="t-1"), escalation(ticket_id="t-2")
    log = Log(one.encode(), b"no message", other.encode())
    known = KnownMessages(TOPIC, log.history)
    await known.catch_up({PLACE: 2})
    assert known.why_known(id_of(TOPIC, one)) == "known_id"
    assert known.why_known(id_of(TOPIC, other)) is None
    again = one.model_copy(update={"run": 7})
    assert known.why_known(id_of(TOPIC, again)) is None


async def test_the_topic_is_read_again_only_beyond_what_is_known() -> None:
    log = Log(*[escalation(ticket_id=f"t-{number}").encode() for number in range(4)])
    known = KnownMessages(TOPIC, log.history)
    for offset in (2, 2, 1, 4):
        known.forget()
        await known.catch_up({PLACE: offset})
    assert log.asked == [{PLACE: 2}, {PLACE: 4}]
    assert len(known) == 4


async def test_a_redriven_message_is_handled_again() -> None:
    message = escalation()
    known = KnownMessages(TOPIC, Log(message.encode()).history)
    await known.catch_up({PLACE: 1})
    assert known.read(Written(message.encode())) == message
    assert known.why_known(id_of(TOPIC, message)) == "known_id"
    known.read(Written(message.encode(), ((LETTER_HEADER, b"letter"),)))
    assert known.why_known(id_of(TOPIC, message)) is None

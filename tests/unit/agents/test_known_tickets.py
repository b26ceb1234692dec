"""What classify knows of tickets: duplicates, revisions, re-runs, within bounds, and again after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from schemas import revision_of
from streams.agents.arrival import Arrival
from streams.agents.known_tickets import KnownTickets
from tests.support.messages import ticket
from tests.support.records import FakeRecord

AT_MS = 1_700_000_000_000
PLACE = ("tickets", 0)


def record(offset: int, text: str = "x", ticket_id: str = "t", *, at_ms: int = AT_MS, run: int = 0) -> FakeRecord:
    headers = (("hedgerow-run", b"%d" % run),) if run else ()
    return FakeRecord(offset, ticket(ticket_id, text).encode(), timestamp=at_ms + offset, headers=headers)


def id_of(one: FakeRecord) -> bytes:
    return KnownTickets.id_of(Arrival.read(one))


class Topic:
    """What was on the topic; ``read`` is how often somebody looked."""

    def __init__(self, *records: FakeRecord) -> None:
        self.records = records
        self.asked: list[tuple[dict[tuple[str, int], int], int]] = []

    async def __call__(self, before: Mapping[tuple[str, int], int], limit: int) -> AsyncIterator[FakeRecord]:
        self.asked.append((dict(before), limit))
        for place, offset in before.items():
            for one in self.records:
                if (one.topic, one.partition) == place and max(0, offset - limit) <= one.offset < offset:
                    yield one


def known(*records: FakeRecord, limit: int = 100) -> KnownTickets:
    tickets = KnownTickets(limit, Topic())
    for one in records:
        tickets.add(id_of(one))
    return tickets


def test_the_same_text_again_is_a_duplicate() -> None:
    tickets = known(record(0))
    assert tickets.why_known(id_of(record(5))) == "duplicate"
    assert tickets.why_known(id_of(record(5, ticket_id="other"))) is None
    assert len({tickets.group_of(id_of(record(offset, text))) for offset, text in enumerate("xyz")}) == 1


def test_a_redelivered_record_is_no_duplicate() -> None:
    tickets = known(record(3))
    assert tickets.why_known(id_of(record(3))) == "known_id"
    assert known().why_known(id_of(record(3))) is None


def test_another_text_is_a_revision_and_an_earlier_one_is_outdated() -> None:
    tickets = known(record(3, "new"))
    assert tickets.why_known(id_of(record(4, "newer"))) is None
    assert tickets.why_known(id_of(record(2, "old"))) == "outdated"
    tickets.add(id_of(record(4, "newer")))
    # A text that comes back is one more revision.
    assert tickets.why_known(id_of(record(5, "new"))) is None


def test_a_re_run_is_no_duplicate_unless_a_later_one_is_known() -> None:
    tickets = known(record(3))
    assert tickets.why_known(id_of(record(4, run=7))) is None
    tickets.add(id_of(record(4, run=7)))
    assert tickets.why_known(id_of(record(4, run=7))) == "known_id"
    assert tickets.why_known(id_of(record(4, run=6))) == "outdated"
    assert tickets.why_known(id_of(record(5))) == "duplicate"


def test_what_is_finished_late_does_not_replace_a_later_text() -> None:
    tickets = known(record(4, "new"), record(3, "old"))
    assert tickets.why_known(id_of(record(5, "new"))) == "duplicate"


def test_what_was_lost_with_its_transaction_is_forgotten() -> None:
    tickets = known(record(3))
    tickets.discard([id_of(record(2)), id_of(record(3, "other")), id_of(record(3, ticket_id="stranger"))])
    assert len(tickets) == 1
    tickets.discard([id_of(record(3))])
    assert tickets.why_known(id_of(record(4))) is None


def test_the_oldest_are_forgotten_first_and_the_bound_holds() -> None:
    tickets = known(*(record(n, ticket_id=f"t-{n}") for n in range(1000)), limit=100)
    assert 50 <= len(tickets) <= 100
    assert tickets.why_known(id_of(record(2000, ticket_id="t-999"))) == "duplicate"
    assert tickets.why_known(id_of(record(2000, ticket_id="t-0"))) is None


async def test_a_restart_knows_what_stands_before_the_committed_offset() -> None:
    topic = Topic(
        record(0, "old"), record(1, "new"), FakeRecord(2, b"no ticket"), record(3, ticket_id="u"), record(9, "late")
    )
    tickets = KnownTickets(100, topic)
    await tickets.catch_up({PLACE: 4})
    tickets.forget()
    assert tickets.why_known(id_of(record(5, "new"))) == "duplicate"
    assert tickets.why_known(id_of(record(5, "old"))) is None
    assert tickets.why_known(id_of(record(9, "late"))) is None
    await tickets.catch_up({PLACE: 4})
    assert topic.asked == [({PLACE: 4}, 100)], "what was read is not read again"
    await tickets.catch_up({PLACE: 6, ("tickets", 1): 5})
    assert topic.asked[-1] == ({PLACE: 6, ("tickets", 1): 5}, 50), "the bound is shared between partitions"


def test_a_revision_keeps_the_order_of_time_then_offset_in_63_bits() -> None:
    assert revision_of(AT_MS, 9) < revision_of(AT_MS, 10) < revision_of(AT_MS + 1, 0)
    assert revision_of(-1, 0) == 0
    assert revision_of(2**62, 2**62 - 1) < 2**63

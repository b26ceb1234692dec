"""Which result of one ticket counts, and the text that it is about: read from the topics for an operator's commands."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka import ConsumerRecord

from schemas import InvalidMessage, Routed, Ticket, bytes_of, rank, revision_and_run
from streams.kafka.connection import Connection
from streams.kafka.readers import decode, reader, to_the_end


@dataclass(frozen=True, slots=True)
class Result:
    """The result that counts, and when it was sent (Unix time, milliseconds)."""

    routed: Routed
    at_ms: int


async def find_result(ticket_id: str, connection: Connection, *, prefix: str) -> Result | None:
    """Return the result of a ticket that counts, or None; raises StopWorker if the broker cannot be reached."""
    found: Result | None = None
    async with reader(["routed"], connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            if not _is_about(record, ticket_id):
                continue
            if record.value is None:
                found = None  # it was forgotten
            if not isinstance(routed := decode(record, prefix), Routed):
                continue
            if found is None or rank(routed) >= rank(found.routed):
                found = Result(routed, record.timestamp)
    return found


async def find_ticket(ticket_id: str, revision: int, connection: Connection, *, prefix: str) -> Ticket | None:
    """Return a ticket with the text of this revision, or None; revision 0, which version 1 says, is the latest text.

    Raises StopWorker if the broker cannot be reached.
    """
    found: tuple[int, Ticket] | None = None
    async with reader(["tickets"], connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            if not _is_about(record, ticket_id) or not isinstance(ticket := decode(record, prefix), Ticket):
                continue
            try:
                mine, _ = revision_and_run(record.headers, record.timestamp, record.offset)
            except InvalidMessage:
                continue
            if revision in (0, mine) and (found is None or mine >= found[0]):
                found = mine, ticket
    return None if found is None else found[1]


def _is_about(record: ConsumerRecord, ticket_id: str) -> bool:
    return bool(record.key == bytes_of(ticket_id))

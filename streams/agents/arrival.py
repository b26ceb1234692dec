"""What classify is called with: a ticket, and what its record on the topic says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas import Ticket, Turn, revision_and_run


class TicketRecord(Protocol):
    """One record of the topic ``tickets``; aiokafka's ConsumerRecord is one."""

    @property
    def value(self) -> bytes | None:
        """Value bytes."""

    @property
    def timestamp(self) -> int:
        """Unix time in milliseconds; -1 if there is none."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names and values."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A ticket as it came."""

    ticket: Ticket
    turn: Turn
    """What the messages about it say."""

    @property
    def ticket_id(self) -> str:
        """The ticket's id, which is the key."""
        return self.ticket.ticket_id

    @classmethod
    def read(cls, record: TicketRecord) -> Arrival:
        """Read a record; raises InvalidMessage if it holds an invalid ticket, or names a run that cannot be one."""
        ticket = Ticket.decode(record.value)
        at_ms = record.timestamp
        revision, run = revision_and_run(record.headers, at_ms, record.offset)
        return cls(ticket, Turn(at_ms if at_ms >= 0 else None, revision, run))

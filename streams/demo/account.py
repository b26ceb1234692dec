"""Accounts for every ticket of a run: where each one ended, what it cost, and what is missing. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from schemas import (
    Alert,
    Call,
    Classification,
    DeadLetter,
    Escalation,
    InvalidMessage,
    Message,
    Review,
    Routed,
    Scored,
    Ticket,
    rank,
    total_usd,
)
from streams.core.policy.reasons import DecisionReason
from streams.kafka.produce import Sent

M = TypeVar("M", Routed, Review)


@dataclass(frozen=True, slots=True)
class Row:
    """One input row: the ticket it is about (rows of one ticket_id are one ticket), and the ticket if it is a valid one."""

    key: str
    ticket: Ticket | None

    @classmethod
    def read(cls, number: int, line: bytes) -> Row:
        """Read a row; one that is an invalid ticket is a separate ticket, which should end as a dead letter."""
        try:
            ticket = Ticket.decode(line)
        except InvalidMessage:
            return cls(f"row {number}", None)
        return cls(f"ticket {ticket.ticket_id}", ticket)


@dataclass
class Account:
    """What became of the rows, message by message. ``results`` holds the distinct outcomes of each ticket.

    ``routed`` and ``reviews`` hold the message that counts.
    """

    rows: Sequence[Row]
    results: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    classified: dict[str, Call] = field(default_factory=dict)
    escalated: set[str] = field(default_factory=set)
    routed: dict[str, Routed] = field(default_factory=dict)
    reviews: dict[str, Review] = field(default_factory=dict)
    dead: dict[str, DeadLetter] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    redelivered: int = 0
    unscored_accepts: int = 0
    """Results of models without a signal, and of the memory without its votes."""
    memory_accepts: int = 0
    """Results of labelled tickets alone."""
    refused: int = 0
    """Rows that the broker did not take for their size."""
    _places: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tickets = {row.key: row.ticket for row in self.rows}

    def sent(self, places: Sequence[Sent], *, first: int = 0) -> None:
        """Note where each row from the ``first`` on stands on the topic.

        A row that the broker refused for its size is no ticket of this run.
        """
        for place in places:
            row = self.rows[first + place.row]
            if place.partition is not None and place.offset is not None:
                self._places[place.partition, place.offset] = row.key
                continue
            self.refused += 1
            if row.ticket is None:
                self.tickets.pop(row.key, None)

    @property
    def settled(self) -> int:
        """How many tickets have an outcome."""
        return len(self.results.keys() & self.tickets.keys())

    def has_settled(self, rows: int) -> bool:
        """Return whether the tickets of the first rows all have an outcome."""
        return all(row.key in self.results for row in self.rows[:rows] if row.key in self.tickets)

    @property
    def over_budget(self) -> int:
        """How many tickets are with a reviewer because the hour's escalations were used up."""
        return sum(DecisionReason.ESCALATION_BUDGET in review.reasons for review in self.reviews.values())

    @property
    def complete(self) -> bool:
        """Whether every ticket has an outcome."""
        return self.settled == len(self.tickets)

    @property
    def lost(self) -> int:
        """Tickets without an outcome."""
        return len(self.tickets) - self.settled

    @property
    def duplicates(self) -> int:
        """Ends beyond one a ticket, after deduplicating by id. A place in the review queue is no end."""
        ends = ([kind for kind, _ in outcomes if kind != "review"] for outcomes in self.results.values())
        return sum(max(0, len(kinds) - 1) for kinds in ends)

    @property
    def in_review(self) -> set[str]:
        """Tickets that wait for a reviewer. One that a redelivery answered twice may be routed as well, and has ended.

        A result of an earlier text, or of an earlier run, ends nothing.
        """
        return {key for key in self.reviews.keys() - self.dead.keys() if not self._is_routed_since(key)}

    def _is_routed_since(self, key: str) -> bool:
        routed, review = self.routed.get(key), rank(self.reviews[key])
        return routed is not None and rank(routed)[:2] >= review[:2]

    def see(self, message: Message) -> None:
        """Take note of one message from a topic."""
        if isinstance(message, Classification):
            self.classified[f"ticket {message.ticket_id}"] = message.call
        elif isinstance(message, Escalation):
            self.escalated.add(f"ticket {message.ticket_id}")
        elif isinstance(message, Routed):
            self._routed(message)
        elif isinstance(message, Review):
            self._end(f"ticket {message.ticket_id}", "review", message.review_id)
            _keep(self.reviews, f"ticket {message.ticket_id}", message)
        elif isinstance(message, DeadLetter):
            self._dead(message)
        elif isinstance(message, Alert):
            self.alerts.setdefault(message.alert_id, message)

    def _routed(self, message: Routed) -> None:
        key = f"ticket {message.ticket_id}"
        self._end(key, "routed", message.result_id)
        _keep(self.routed, key, message)
        if message.decided_by == "memory":
            self.memory_accepts += 1
        if not _is_backed(message):
            self.unscored_accepts += 1

    def _dead(self, letter: DeadLetter) -> None:
        key = self._places.get((letter.partition, letter.offset)) if letter.topic.endswith("tickets") else None
        if key is None:
            key = f"ticket {(letter.key or b'').decode('utf-8', 'replace')}"
        self._end(key, "dead", letter.letter_id)
        self.dead.setdefault(key, letter)

    def _end(self, key: str, kind: str, outcome: str) -> None:
        if (kind, outcome) in self.results[key]:
            self.redelivered += 1
        self.results[key].add((kind, outcome))

    def calls(self, key: str) -> tuple[Call, ...]:
        """Return every call that was paid for a ticket, the cheap tier's first; of a dead letter the one that is known."""
        if key in self.routed:
            return self.routed[key].calls
        if key in self.reviews:
            return self.reviews[key].calls
        return (self.classified[key],) if key in self.classified else ()

    @property
    def cost_usd(self) -> float | None:
        """What all calls together cost, USD; None if the cost of one is unknown."""
        return total_usd(call.cost_usd for key in self.results for call in self.calls(key))


def _is_backed(message: Routed) -> bool:
    """Tell whether a result rests on a reviewer, on a model's signal, or on the votes of labelled tickets."""
    if message.decided_by == "memory":
        return bool(message.neighbours) and message.confidence is not None and message.entropy is not None
    return message.decided_by == "human" or bool(message.calls and isinstance(message.calls[-1].signal, Scored))


def _keep(kept: dict[str, M], key: str, message: M) -> None:
    """Keep the message that counts."""
    if key not in kept or rank(message) >= rank(kept[key]):
        kept[key] = message

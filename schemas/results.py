"""How a ticket ends: a routed label, a place in the review queue, a reviewer's verdict, or a dead letter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Count, Message, Name, stable_id
from schemas.signal import Nats, Probability
from schemas.tickets import Call, Ticket

DecidedBy = Literal["cheap", "big", "human"]
#: A key of this many bytes may be cut in letters from before ``key_size``.
_CUT_KEY = 1024


class Routed(Message):
    """The final label of a ticket; key: ticket_id. One per ticket for a consumer that deduplicates by ``result_id``."""

    result_id: Name
    ticket_id: Name
    label: Name
    decided_by: DecidedBy
    confidence: Probability | None
    """The deciding tier's confidence; None if a reviewer decided."""
    entropy: Nats | None
    top_k_mass: Probability | None = None
    policy_id: str
    reasons: tuple[str, ...] = ()
    """What stood against the tiers before the one that decided, and flags on the decision itself."""
    calls: tuple[Call, ...] = ()
    """Every call with every paid attempt, the cheap tier's first."""

    @staticmethod
    def id_for(ticket_id: str) -> str:
        """Return the result id of a ticket: the same whichever tier or reviewer decides, so that a ticket has one result."""
        return stable_id("routed", ticket_id)

    @property
    def cost_usd(self) -> float:
        """What all calls together cost, USD."""
        return sum(call.cost_usd for call in self.calls)


class Review(Message):
    """A ticket for a reviewer, with both tiers' answers; key: ticket_id."""

    review_id: Name
    ticket: Ticket
    calls: tuple[Call, ...]
    reasons: tuple[str, ...]
    uncertainty: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """The order of the queue, highest first: nats of entropy, infinite doubt (no signal) is ln(number of labels)."""
    suggested: str | None = None
    """The best answer so far; a suggestion, not a decision."""
    policy_id: str

    @property
    def ticket_id(self) -> str:
        """The ticket's id, which is the key."""
        return self.ticket.ticket_id

    @staticmethod
    def id_for(ticket_id: str) -> str:
        """Return the review id of a ticket: the same at every redelivery."""
        return stable_id("review", ticket_id)


class Verdict(Message):
    """What a reviewer decided; key: ticket_id."""

    verdict_id: Name
    review_id: Name
    ticket_id: Name
    label: Name
    decided_by: Name
    """The reviewer's name as given."""
    at_ms: Count
    note: Annotated[str, Field(max_length=4000)] = ""
    suggested: str | None = None
    calls: tuple[Call, ...] = ()
    """What the tiers said: the pair that calibration learns from."""


class DeadLetter(Message):
    """A message that could not be handled, with its original bytes and origin; key: ``origin``."""

    letter_id: Name
    topic: Name
    partition: Count
    offset: Count
    key: bytes | None = None
    """The original key; cut if the broker would not take the letter whole, see ``key_size``."""
    key_size: Count | None = None
    """Size of the original key in bytes; None for a message without a key, and in letters from before this field."""
    original: bytes
    """The original value; cut if the broker would not take it whole, see ``original_size``."""
    original_size: Count
    tombstone: bool | None = None
    """Whether the message had no value at all, which is not an empty one; None in letters from before this field."""
    agent: Name
    reason: Name
    """The short name that metrics count: "not_json", "wrong_schema", "retries_exhausted" ..."""
    error_class: Name
    detail: str = ""
    attempts: Count = 1
    at_ms: Count = 0

    @property
    def is_whole(self) -> bool:
        """Whether the letter has the message as it was; one from before ``key_size`` and ``tombstone`` may not know."""
        if self.tombstone is None and self.original_size == 0:
            return False
        if self.key is not None and (
            len(self.key) >= _CUT_KEY if self.key_size is None else self.key_size > len(self.key)
        ):
            return False
        return len(self.original) == self.original_size

    @property
    def origin(self) -> str:
        """Where the message came from: topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

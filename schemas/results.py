"""How a ticket ends: a routed label, a place in the review queue, a reviewer's verdict, or a dead letter."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Cost, Count, Message, Millis, Name, Value, stable_id
from schemas.signal import Nats, Probability, Scored
from schemas.tickets import Call, Metadata, Neighbour, Ticket, TicketMessage, Tier, total_usd

DecidedBy = Literal["cheap", "big", "human", "memory"]
"""``memory``: the labelled tickets nearest to this one, without a call."""
#: The purpose of a review that replaces a result which was in no review.
CORRECTION = "correction"
#: The reason of a result without a label: a reviewer said that no label fits.
NONE_OF_THESE = "none_of_these"
Note = Annotated[str, Field(max_length=4000)]
#: A key of this many bytes may be cut in letters from before ``key_size``.
_CUT_KEY = 1024


class CallSummary(Value):
    """What a call comes to, in a result that does not carry the calls themselves."""

    tier: Tier
    model: Name
    """The model id that came back; the one that was asked for if none did."""
    label: Name | None
    reason: str | None
    """Why there is no signal; None if there is one."""
    confidence: Probability | None
    entropy: Nats | None
    """The one that decides."""
    attempts: Count
    latency_ms: Millis
    cost_usd: Cost

    @classmethod
    def of(cls, call: Call) -> Self:
        """Return the summary of a call."""
        signal = call.signal
        scored = signal if isinstance(signal, Scored) else None
        return cls(
            tier=call.tier,
            model=call.model_returned or call.model_asked,
            label=signal.label,
            reason=None if isinstance(signal, Scored) else signal.reason,
            confidence=None if scored is None else scored.confidence,
            entropy=None if scored is None else scored.decides,
            attempts=len(call.attempts),
            latency_ms=call.latency_ms,
            cost_usd=call.cost_usd,
        )


class Routed(TicketMessage):
    """The final label of a ticket; key: ticket_id. One per ticket for a consumer that deduplicates by ``result_id``."""

    result_id: Name
    ticket_id: Name
    label: Name | None
    """None if a reviewer said that no label fits: ``reasons`` has ``none_of_these`` then."""
    decided_by: DecidedBy
    confidence: Probability | None
    """The deciding tier's confidence; None if a reviewer decided. Of the memory: the share of the votes for the label."""
    entropy: Nats | None
    """Of the memory: that of the votes."""
    top_k_mass: Probability | None = None
    policy_id: str
    reasons: tuple[str, ...] = ()
    """What stood against the tiers before the one that decided, and flags on the decision itself."""
    calls: tuple[Call, ...] = ()
    """Every call with every paid attempt, the cheap tier's first; empty if ``routed.calls`` is not ``full``."""
    summary: tuple[CallSummary, ...] = ()
    """The same in short, if ``routed.calls`` is ``summary``."""
    neighbours: tuple[Neighbour, ...] = ()
    """The labelled tickets that decided, the nearest first, if the memory did."""
    cost_usd: Cost = None
    """What all calls together cost, USD; None if the cost of one is unknown. Computed if a message does not say it."""
    at_ms: Count | None = None
    """When it was decided, Unix time in milliseconds; None in messages of version 1."""
    metadata: Metadata = Field(default_factory=dict)
    """The ticket's."""
    reviewer: Name | None = None
    """Who decided; None if a model did."""
    note: Note = ""
    """The reviewer's."""
    decision: Count = 0
    """0 for a model's answer; a reviewer's first decision is 1, and each that corrects it is one more."""
    corrected: bool = False
    """Whether a reviewer has replaced an earlier result by it."""

    @model_validator(mode="after")
    def _know_the_cost(self) -> Self:
        if "cost_usd" not in self.__pydantic_fields_set__:
            # The result is frozen from here on.
            self.__dict__["cost_usd"] = total_usd(call.cost_usd for call in self.calls)
        return self

    @staticmethod
    def id_for(ticket_id: str) -> str:
        """Return the result id of a ticket: the same whichever tier or reviewer decides, so that a ticket has one result."""
        return stable_id("routed", ticket_id)


class Review(TicketMessage):
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
    purpose: Name | None = None
    """``correction`` if a reviewer corrects a result that was in no review; None if it decides. ``audit`` is reserved."""

    @model_validator(mode="after")
    def _know_its_id(self) -> Self:
        _name_the_text(self)
        return self

    @property
    def ticket_id(self) -> str:
        """The ticket's id, which is the key."""
        return self.ticket.ticket_id

    @staticmethod
    def id_for(ticket_id: str, revision: int = 0, run: int = 0) -> str:
        """Return the review id of a ticket's text in a run: the same at every redelivery."""
        turn = (str(revision), str(run)) if revision or run else ()  # without them as in version 1
        return stable_id("review", ticket_id, *turn)

    @staticmethod
    def id_in_version_1(ticket_id: str, run: int) -> str:
        """Return the id that readers of version 1 expect, the same for every text: its review agent refuses any other."""
        return Review.id_for(ticket_id, 0, run)


class Verdict(TicketMessage):
    """What a reviewer decided; key: ticket_id."""

    verdict_id: Name
    review_id: Name
    ticket_id: Name
    label: Name | None
    """None: no label fits."""
    decided_by: Name
    """The reviewer's name as given."""
    at_ms: Count
    note: Note = ""
    suggested: str | None = None
    calls: tuple[Call, ...] = ()
    """What the tiers said: the pair that calibration learns from."""
    decision: Count = 1
    """1 for the first decision on a review; each that corrects it is one more."""
    corrected: bool = False
    """Whether it replaces an earlier decision."""
    purpose: Name | None = None
    """As in Review."""

    @model_validator(mode="after")
    def _know_its_review(self) -> Self:
        _name_the_text(self)
        return self

    @staticmethod
    def id_for(review_id: str, decision: int = 1) -> str:
        """Return the id of a decision on a review: the same however often it is sent."""
        return stable_id("verdict", review_id, *((str(decision),) if decision > 1 else ()))


def _name_the_text(message: Review | Verdict) -> None:
    """Give a message that was written in version 1 the review id that names its text."""
    if message.review_id == Review.id_in_version_1(message.ticket_id, message.run):
        # The message is frozen from here on.
        message.__dict__["review_id"] = Review.id_for(message.ticket_id, message.revision, message.run)


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

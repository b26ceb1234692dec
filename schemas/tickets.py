"""The ticket that a producer sends, and one model call about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from schemas.base import (
    MAX_INTEGER,
    MAX_METADATA,
    MAX_METADATA_ENTRIES,
    MAX_TEXT,
    Cost,
    Count,
    InvalidMessage,
    Message,
    Millis,
    Name,
    Value,
    not_blank,
)
from schemas.perplexity import Perplexity
from schemas.signal import Probability, Signal

Tier = Literal["cheap", "big"]

#: The header of a ticket's record that says in which re-run it was sent; without it the run is 0.
RUN_HEADER = "hedgerow-run"
#: The header of a re-run's record that says which text of the ticket it repeats: the revision of the record that has it.
REVISION_HEADER = "hedgerow-revision"
#: A revision is the time stamp of the ticket's record in milliseconds (42 bits, until 2109), then the offset (its last 21
#: bits): 63 bits together. Two texts in the same millisecond are told apart by the offset.
_AT_BITS, _OFFSET_BITS = 42, 21
#: The most digits of a run's number: every JSON reader keeps such an integer exact.
_RUN_DIGITS = 15
Run = Annotated[int, Field(ge=0, le=10**_RUN_DIGITS - 1)]

_EXPECTED = f"a text of at most {MAX_METADATA} characters, a number, true, false or null is expected"


class _OneError:
    """Gives one error for a value that is none of the types, instead of one for each type."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(handler(source), "metadata_value", custom_error_message=_EXPECTED)


MetadataValue = Annotated[
    Annotated[str, Field(max_length=MAX_METADATA)]
    | bool
    | Annotated[int, Field(ge=-(2**63), lt=2**63)]
    | Annotated[float, Field(allow_inf_nan=False)]
    | None,
    _OneError(),
]
"""What a ticket's metadata may hold. Integers beyond 64 bits become floats, as most JSON readers make them."""

Metadata = Annotated[dict[Name, MetadataValue], Field(max_length=MAX_METADATA_ENTRIES)]

_ENTRY: TypeAdapter[dict[str, MetadataValue]] = TypeAdapter(dict[Name, MetadataValue])


class Ticket(Message):
    """One customer message to be labelled; key: ticket_id.

    Fields that are not known here are kept as metadata, unless ``metadata`` has an entry of that name or no room, or the
    value is one that it cannot hold.
    """

    model_config = ConfigDict(extra="allow")

    ticket_id: Name
    text: Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(not_blank)]
    label: Name | None = None
    """The gold label if it is known; used for measuring only, never for deciding."""
    slice: Name | None = None
    """A named part of a golden set."""
    metadata: Metadata = Field(default_factory=dict)
    """Whatever else the producer knows; it travels with the ticket and decides nothing."""

    @model_validator(mode="after")
    def _keep_unknown_fields(self) -> Self:
        if unknown := self.__pydantic_extra__:
            kept = dict(self.metadata)
            for name, value in unknown.items():
                if len(kept) < MAX_METADATA_ENTRIES and name not in kept:
                    kept |= _as_metadata(name, value)
            # The ticket is frozen from here on.
            self.__dict__["metadata"] = kept
            self.__pydantic_fields_set__.difference_update(unknown)
            self.__pydantic_fields_set__.add("metadata")
            unknown.clear()
        return self


def _as_metadata(name: str, value: object) -> dict[str, MetadataValue]:
    try:
        return _ENTRY.validate_python({name: value})
    except ValidationError:
        return {}


def total_usd(costs: Iterable[float | None]) -> float | None:
    """Return the sum of some costs, USD; None if one of them is unknown, because an unknown cost is not zero."""
    total = 0.0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total


class Attempt(Value):
    """One paid or failed request to a model API."""

    outcome: Name
    """"ok", or the short name of what went wrong: "http_429", "timeout", "connection" ..."""
    at_ms: Count
    """Unix time in milliseconds at which the request was sent."""
    latency_ms: Millis
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cost_usd: Cost = 0.0
    """USD; None if the model's price is unknown."""
    estimated: bool = False
    """Whether the token counts are a guess by the length of the text, because the answer came without any."""


class TextPerplexity(Value):
    """What a language model made of a ticket's own text, with every attempt that was made to ask it."""

    model_asked: Name
    model_returned: str | None = None
    result: Perplexity
    attempts: tuple[Attempt, ...] = ()


#: 1 - cosine similarity.
Distance = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]


class ShownExample(Value):
    """A labelled ticket that stood in the prompt as an example."""

    id: Name
    """In the memory."""
    similarity: Annotated[float, Field(ge=-1.001, le=1.001, allow_inf_nan=False)]
    """Cosine of its embedding and the ticket's; rounding may carry it a little past 1."""


class Neighbour(ShownExample):
    """A labelled ticket near the one at hand."""

    label: Name | None
    """None: it fits no label."""


class Call(Value):
    """Everything one tier answered about one ticket, with every attempt that was made."""

    tier: Tier
    model_asked: Name
    model_returned: str | None = None
    fingerprint: str | None = None
    prompt_hash: str
    """Of the instructions and labels, not of the ticket: a policy is only valid for one prompt."""
    answer: str | None = None
    """The raw answer, cut to 1,000 characters."""
    signal: Signal
    attempts: tuple[Attempt, ...] = ()
    perplexity: TextPerplexity | None = None
    """Of the ticket's text, if an endpoint for that is configured; asked alongside the cheap tier's call."""
    novelty: Distance | None = None
    """How unlike the ticket is to every labelled one: 1 less the mean cosine similarity to the nearest. None without a
    memory."""
    neighbour_label: Name | None = None
    """The label that most of the nearest labelled tickets have."""
    neighbour_share: Probability | None = None
    """The share of the nearest labelled tickets that have it."""
    neighbour_novelty: Distance | None = None
    """How unlike those neighbours are to each other: where labelled tickets lie far apart, a novelty says less."""
    shown: tuple[ShownExample, ...] = ()
    """The examples in the prompt, the nearest last."""

    @property
    def all_attempts(self) -> tuple[Attempt, ...]:
        """Every attempt, those for the perplexity too."""
        return self.attempts if self.perplexity is None else (*self.attempts, *self.perplexity.attempts)

    @property
    def cost_usd(self) -> float | None:
        """What is known that all attempts together cost, USD; None without a price. One that gave no answer counts 0."""
        return total_usd(attempt.cost_usd for attempt in self.all_attempts)

    @property
    def latency_ms(self) -> float:
        """Time spent in all attempts together, milliseconds."""
        return sum(attempt.latency_ms for attempt in self.attempts)


@dataclass(frozen=True, slots=True)
class Turn:
    """Which text of a ticket is being handled, and in which run: what all messages on the way have in common."""

    ticket_at_ms: int | None = None
    revision: int = 0
    run: int = 0


def revision_of(at_ms: int, offset: int) -> int:
    """Return the revision of a ticket's record, by its time stamp (Unix time, milliseconds) and offset: a later one is higher."""
    at_ms = min(max(at_ms, 0), (1 << _AT_BITS) - 1)
    return at_ms << _OFFSET_BITS | offset & (1 << _OFFSET_BITS) - 1


def revision_in(headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    """Return the revision that a re-run's headers name; None if they name none that can be one."""
    for name, value in headers:
        if name == REVISION_HEADER and value is not None and len(value) < 20 and value.isdigit():
            revision = int(value)
            return revision if revision <= MAX_INTEGER else None
    return None


def run_of(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Return the run that a record's headers name; raises InvalidMessage if they name none that can be one."""
    run = 0
    for name, value in headers:
        if name == RUN_HEADER:
            if value is None or len(value) > _RUN_DIGITS or not value.isdigit():
                raise InvalidMessage("wrong_run", f"header {RUN_HEADER}: a number of at most {_RUN_DIGITS} digits")
            run = int(value)
    return run


def revision_and_run(headers: Iterable[tuple[str, bytes | None]], at_ms: int, offset: int) -> tuple[int, int]:
    """Return which text of its ticket a record holds, and in which run, by its headers, time stamp and offset.

    Raises InvalidMessage if it names a run that cannot be one.
    """
    headers = tuple(headers)
    run = run_of(headers)
    named = revision_in(headers) if run else None
    return revision_of(at_ms, offset) if named is None else named, run


class TicketMessage(Message):
    """What every message after ``tickets`` says of the ticket that it is about."""

    ticket_at_ms: Count | None = None
    """The time stamp of the ticket's record, Unix time in milliseconds; None if the writer did not say it."""
    revision: Count = 0
    """Which text of the ticket it is about: a later one has a higher number; 0 if the writer did not say it."""
    run: Run = 0
    """0, or the number of the re-run that it comes from: a later one has a higher number."""

    @property
    def turn(self) -> Turn:
        """What the next message on the way repeats."""
        return Turn(self.ticket_at_ms, self.revision, self.run)


class Classification(TicketMessage):
    """A ticket with the cheap tier's call; key: ticket_id."""

    ticket: Ticket
    call: Call
    policy_id: str | None = None
    """Reserved: the policy that was in force when the ticket was classified, and decides; None: the reader's."""

    @property
    def ticket_id(self) -> str:
        """The ticket's id, which is the key."""
        return self.ticket.ticket_id


class Escalation(TicketMessage):
    """A ticket for the big tier, and why the cheap one is not enough; key: ticket_id."""

    ticket: Ticket
    call: Call | None = None
    """The cheap tier's call; None if it was not asked."""
    reasons: tuple[str, ...]
    policy_id: str

    @property
    def ticket_id(self) -> str:
        """The ticket's id, which is the key."""
        return self.ticket.ticket_id

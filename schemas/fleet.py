"""What the workers of one pipeline tell one another: what they used up and may still use, and what their guards saw."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import Count, Message, Name, Value

#: The minutes and days that a worker tells of at most: the last hour with the minute in progress, the last month with today.
MAX_MINUTES = 61
MAX_DAYS = 32
#: The endpoints, and the kinds of what happens, that a worker tells of at most.
MAX_ENDPOINTS = 16
MAX_KINDS = 64

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Amount(Value):
    """What was used in one minute, or on one day."""

    at: Count
    """The minute, or the day, since 1970 (UTC)."""
    used: Count


class Usage(Value):
    """How much one worker has used of one thing, in whole units."""

    minutes: Annotated[tuple[Amount, ...], Field(max_length=MAX_MINUTES)] = ()
    """The minutes of the last hour."""
    days: Annotated[tuple[Amount, ...], Field(max_length=MAX_DAYS)] = ()
    """The days (UTC) of the last month."""
    leased: Count = 0
    """What the worker may use without asking again: it counts as used."""
    asked: Count = 0
    """What it asks to lease on top; it counts as used until the worker says what it got."""


class Counted(Value):
    """How often each of several things happened in the last calls that a guard saw, and in those before them."""

    at_ms: Count = 0
    """When the last call was; Unix time in milliseconds, by the worker's clock."""
    calls: Count = 0
    counts: Annotated[dict[Name, Count], Field(max_length=MAX_KINDS)] = Field(default_factory=dict)
    calls_before: Weight = 0.0
    """The further back, the less a call counts."""
    counts_before: Annotated[dict[Name, Weight], Field(max_length=MAX_KINDS)] = Field(default_factory=dict)
    learns: bool = True
    """Whether the last calls are as usual, so that others may be compared with them later."""


class RunOfBreaches(Value):
    """The last calls, if each of them broke the contract for one use."""

    length: Count
    names: Annotated[dict[Name, Count], Field(max_length=MAX_KINDS)] = Field(default_factory=dict)


class EndpointState(Value):
    """What the guard of an endpoint has seen, and its breaker."""

    source: Name
    turns: Count = 0
    """How often the breaker was opened and closed, by any worker: it is open if this is odd."""
    down: bool = False
    """Whether this worker gets no answers from it."""
    counted: Counted = Field(default_factory=Counted)
    runs: Annotated[dict[Name, RunOfBreaches], Field(max_length=MAX_KINDS)] = Field(default_factory=dict)
    """By the use for which the contract was broken."""


class ShareState(Value):
    """What the guard of the escalations' share has seen."""

    counted: Counted = Field(default_factory=Counted)
    since_ms: Count = 0
    """When a worker, this or another one, last told of an escalation; Unix time in milliseconds."""
    quiet: Count = 0
    """This worker's decisions since then."""


class WorkerState(Message):
    """What one worker process has to tell the others; the latest of each worker counts; key: worker."""

    worker: Name
    """Another one at every start of the process."""
    group: Name
    """The pipeline that the worker is of: limits hold for all of its workers together."""
    number: Count
    """Grows with every state of this worker."""
    at_ms: Count
    """Unix time in milliseconds, by the worker's clock."""
    stopped: bool = False
    """Whether this is the last that the worker says."""
    money: Usage = Field(default_factory=Usage)
    """In billionths of a US dollar: sums of whole numbers are the same in any order."""
    escalations: Usage = Field(default_factory=Usage)
    """In tickets."""
    endpoints: Annotated[tuple[EndpointState, ...], Field(max_length=MAX_ENDPOINTS)] = ()
    """Those that this worker asks."""
    share: ShareState | None = None
    """Of a worker that decides on the answers of the cheap tier."""

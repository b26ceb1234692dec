"""What the workers of one pipeline tell one another: what they used up, and what they may still use."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import Count, Message, Name, Value

#: The minutes and days that a worker tells of at most: the last hour with the minute in progress, the last month with today.
MAX_MINUTES = 61
MAX_DAYS = 32


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

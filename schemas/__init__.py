"""What travels on Hedgerow's topics: frozen, versioned messages and the registry of topics."""

from __future__ import annotations

from schemas.base import MAX_NAME, MAX_TEXT, InvalidMessage, Message, bytes_of, digest_of, stable_id
from schemas.fleet import Usage, WorkerState
from schemas.memory import MAX_DIMENSIONS, MAX_EXAMPLE_TEXT, Example, ExampleSource
from schemas.perplexity import Measured, NoPerplexity, Perplexity, Unmeasured
from schemas.rank import Rank, rank
from schemas.registry import TOPICS, Topic, topic_for, topic_of
from schemas.results import CORRECTION, NONE_OF_THESE, CallSummary, DeadLetter, DecidedBy, Review, Routed, Verdict
from schemas.signal import Reason, Scored, Signal, Unscorable
from schemas.tickets import (
    REVISION_HEADER,
    RUN_HEADER,
    Attempt,
    Call,
    Classification,
    Escalation,
    Neighbour,
    ShownExample,
    TextPerplexity,
    Ticket,
    TicketMessage,
    Tier,
    Turn,
    revision_and_run,
    revision_in,
    revision_of,
    run_of,
    total_usd,
)
from schemas.watch import Alert, Probe
from schemas.wire import NEWEST, WireFormat

__all__ = [
    "CORRECTION",
    "MAX_DIMENSIONS",
    "MAX_EXAMPLE_TEXT",
    "MAX_NAME",
    "MAX_TEXT",
    "NEWEST",
    "NONE_OF_THESE",
    "REVISION_HEADER",
    "RUN_HEADER",
    "TOPICS",
    "Alert",
    "Attempt",
    "Call",
    "CallSummary",
    "Classification",
    "DeadLetter",
    "DecidedBy",
    "Escalation",
    "Example",
    "ExampleSource",
    "InvalidMessage",
    "Measured",
    "Message",
    "Neighbour",
    "NoPerplexity",
    "Perplexity",
    "Probe",
    "Rank",
    "Reason",
    "Review",
    "Routed",
    "Scored",
    "ShownExample",
    "Signal",
    "TextPerplexity",
    "Ticket",
    "TicketMessage",
    "Tier",
    "Topic",
    "Turn",
    "Unmeasured",
    "Unscorable",
    "Usage",
    "Verdict",
    "WireFormat",
    "WorkerState",
    "bytes_of",
    "digest_of",
    "rank",
    "revision_and_run",
    "revision_in",
    "revision_of",
    "run_of",
    "stable_id",
    "topic_for",
    "topic_of",
    "total_usd",
]

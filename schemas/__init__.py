"""What travels on Hedgerow's topics: frozen, versioned messages and the registry of topics."""

from __future__ import annotations

from schemas.base import MAX_NAME, MAX_TEXT, InvalidMessage, Message, stable_id
from schemas.perplexity import Measured, NoPerplexity, Perplexity, Unmeasured
from schemas.registry import TOPICS, Topic, topic_of
from schemas.results import DeadLetter, DecidedBy, Review, Routed, Verdict
from schemas.signal import Reason, Scored, Signal, Unscorable
from schemas.tickets import Attempt, Call, Classification, Escalation, TextPerplexity, Ticket, Tier
from schemas.watch import Alert, Probe

__all__ = [
    "MAX_NAME",
    "MAX_TEXT",
    "TOPICS",
    "Alert",
    "Attempt",
    "Call",
    "Classification",
    "DeadLetter",
    "DecidedBy",
    "Escalation",
    "InvalidMessage",
    "Measured",
    "Message",
    "NoPerplexity",
    "Perplexity",
    "Probe",
    "Reason",
    "Review",
    "Routed",
    "Scored",
    "Signal",
    "TextPerplexity",
    "Ticket",
    "Tier",
    "Topic",
    "Unmeasured",
    "Unscorable",
    "Verdict",
    "stable_id",
    "topic_of",
]

"""Which topic carries which message under which key."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.base import Message, bytes_of
from schemas.fleet import WorkerState
from schemas.memory import Example
from schemas.results import DeadLetter, Review, Routed, Verdict
from schemas.tickets import Classification, Escalation, Ticket
from schemas.watch import Alert, Probe


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: its logical name, the message it carries and the attribute that is its key."""

    name: str
    message: type[Message]
    key: str
    config: dict[str, str] = field(default_factory=dict)
    """Broker settings at creation."""
    partitions: int | None = None
    """The number that it must have; None: as many as the operator wants."""

    def key_of(self, message: object) -> bytes:
        """Return the message's key as bytes."""
        return bytes_of(str(getattr(message, self.key)))


#: Larger than the longest valid ticket, so that an oversized one arrives and becomes a dead letter with a reason.
TICKET_BYTES = 2 * 1024 * 1024
#: Room for a dead letter's original bytes: base64 grows them by a third.
DEAD_LETTER_BYTES = 4 * 1024 * 1024
#: A year. The drift agent rebuilds what it knows from old probes, and a stale policy is stale until somebody says
#: otherwise: Kafka's default of a week would make both forget.
WATCHED_MS = 365 * 24 * 3600 * 1000
#: A day. What was forgotten is text of customers: without this it stays on the disk until a segment is full.
FORGOTTEN_MS = 24 * 3600 * 1000

#: What a worker used counts toward a limit until its month is over.
COUNTED_DAYS = 33
_COUNTED_MS = COUNTED_DAYS * 24 * 3600 * 1000
#: Ten minutes. Each worker says something every second, and one that starts reads all that is still there.
SAID_MS = 10 * 60 * 1000

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("tickets", Ticket, "ticket_id", {"max.message.bytes": str(TICKET_BYTES)}),
        Topic("classifications", Classification, "ticket_id"),
        Topic("escalations", Escalation, "ticket_id"),
        Topic("routed", Routed, "ticket_id", {"cleanup.policy": "compact", "max.compaction.lag.ms": str(FORGOTTEN_MS)}),
        Topic("reviews", Review, "ticket_id"),
        Topic("verdicts", Verdict, "ticket_id"),
        Topic("dead-letters", DeadLetter, "origin", {"max.message.bytes": str(DEAD_LETTER_BYTES)}),
        Topic("probes", Probe, "endpoint", {"retention.ms": str(WATCHED_MS)}),
        Topic("alerts", Alert, "source", {"retention.ms": str(WATCHED_MS)}),
        Topic(
            "memory", Example, "example_id", {"cleanup.policy": "compact", "max.compaction.lag.ms": str(FORGOTTEN_MS)}
        ),
        Topic(
            "fleet",
            WorkerState,
            "worker",
            {
                "cleanup.policy": "compact,delete",
                "retention.ms": str(_COUNTED_MS),
                "max.compaction.lag.ms": str(SAID_MS),
            },
            partitions=1,
        ),
    )
}

_BY_MESSAGE: dict[type[Message], Topic] = {topic.message: topic for topic in TOPICS.values()}


def topic_of(message: Message) -> Topic:
    """Return the topic that carries this message; raises KeyError for a type that travels on none."""
    return topic_for(type(message))


def topic_for(kind: type[Message]) -> Topic:
    """Return the topic that carries messages of this type; raises KeyError if none does."""
    return _BY_MESSAGE[kind]

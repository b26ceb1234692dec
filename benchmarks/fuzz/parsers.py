"""The pure part: every schema's parser, the decision on a dead letter, and the handlers that only compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fuzz.corpus import Corpus
from benchmarks.unguarded import score_handler
from schemas import TOPICS, DeadLetter, InvalidMessage, Message
from streams.agents.cause import CauseHandler
from streams.agents.drift import DriftHandler
from streams.agents.traffic import TrafficHandler
from streams.aio import Changes
from streams.core.drift.stale_policy import StalePolicy
from streams.core.drift.traffic import TrafficLimits
from streams.core.policy.policy import Policy
from streams.delivery.dead_letters import shortened
from streams.delivery.handling import Handling
from streams.delivery.observer import Observer
from streams.delivery.stage import Stage

#: The reasons of a message that is none; any other is a fault of ours.
REASONS = frozenset({"empty_message", "not_json", "wrong_schema", "unknown_schema_version"})

_HANDLING = {
    name: Handling(Stage("fuzz", topic, lambda _: ()), Observer(), lambda: 1_700_000_000_000, Changes())
    for name, topic in TOPICS.items()
}


@dataclass(frozen=True, slots=True)
class Taken:
    """One value as a stage would take it."""

    topic: str
    offset: int
    value: bytes | None
    key: bytes | None
    partition: int = 0


@dataclass
class Read:
    """What one topic's parser made of its messages: how many are valid, the rest by reason, and the faults (none)."""

    messages: int = 0
    valid: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


async def _nothing_before(*offsets: Mapping[tuple[str, int], int]) -> AsyncIterator[Any]:
    del offsets
    nothing: Any
    for nothing in ():
        yield nothing


def computing() -> dict[str, Sequence[Callable[[Any], Any]]]:
    """Return the handlers that only compute, by the topic that they read."""
    policy = Policy()
    stale = StalePolicy(policy.id, ("cheap",))
    return {
        "classifications": (score_handler(policy, 6), TrafficHandler(policy, TrafficLimits(), "cheap")),
        "probes": (DriftHandler(("lt-ref",), policy.id, _nothing_before),),
        "alerts": (CauseHandler(86_400.0, _nothing_before), stale.update),
    }


def read(topic: str, count: int, seed: int, *, handle: int | None = None) -> Read:
    """Throw so many messages at a topic's parser, and the first ``handle`` valid ones at its handlers."""
    found = Read()
    corpus = Corpus(topic, seed)
    handlers = computing().get(topic, ())
    for number, value in enumerate(corpus.messages(count)):
        found.messages += 1
        try:
            message = check(Taken(topic, number, value, corpus.key()))
            if isinstance(message, str):
                found.letters[message] += 1
                continue
            found.valid += 1
            if handle is None or found.valid <= handle:
                for handler in handlers:
                    for output in handler(message) or ():
                        output.encode()
        except Exception as fault:  # noqa: BLE001 - each is what this looks for
            found.faults.append(f"{topic} {number}: {type(fault).__name__}: {str(fault)[:200]}")
    return found


def check(record: Taken) -> Message | str:
    """Return the message that a record is, or the reason on its dead letter; raises AssertionError for anything else."""
    message, outputs = _HANDLING[record.topic].decode(record)
    if message is None:
        return _letter(record, outputs)
    _valid(record.topic, message)
    return message


def _letter(record: Taken, outputs: Sequence[Message]) -> str:
    """Check the dead letter of a value that is no message, as it will be read again, and return its reason."""
    (output,) = outputs
    assert isinstance(output, DeadLetter)
    letter = DeadLetter.decode(output.encode())
    assert letter == output
    assert letter.original == (record.value or b"")
    assert letter.key == record.key
    assert letter.origin == f"{record.topic}/{record.partition}/{record.offset}"
    assert letter.reason in REASONS, letter.reason
    assert letter.detail
    DeadLetter.decode(shortened(letter).encode())
    return letter.reason


def _valid(topic: str, message: Message) -> None:
    """Check that a message has a key, and comes back the same."""
    assert isinstance(TOPICS[topic].key_of(message), bytes)
    again = message.encode()
    try:
        assert type(message).decode(again).encode() == again
    except InvalidMessage as fault:
        raise AssertionError(f"its own encoding is refused: {fault}") from None

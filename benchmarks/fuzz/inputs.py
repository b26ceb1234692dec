"""What was thrown at one topic, record by record, and how each one ended. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from schemas import TOPICS, DeadLetter, InvalidMessage, Message
from streams.delivery.dead_letters import CUT_TO


@dataclass(frozen=True, slots=True)
class Input:
    """One record that the broker took: what its topic's parser says of it, and a digest of its bytes."""

    refused: str | None
    """Why it is no message; None if it is one."""
    key: str
    """The ticket of a valid one, under whose id it ends."""
    digest: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Letter:
    """What a dead letter says about its original."""

    reason: str
    digest: bytes
    size: int


@dataclass
class Ended:
    """How one topic's inputs ended: counts that add up to ``sent`` for each agent, and what should be nothing."""

    agent: str
    sent: int = 0
    results: int = 0
    """Valid ones with a result."""
    silent: int = 0
    """Valid ones that are finished, of an agent that answers only some."""
    letters: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Dead letters whose bytes or reason are not their original's."""


class Seen:
    """What came out: dead letters by agent and origin, and the tickets that have an end."""

    def __init__(self) -> None:
        self.letters: dict[tuple[str, str], Letter] = {}
        self.keys: set[str] = set()

    def take(self, message: Message, prefix: str) -> None:
        """Take a message from where records end; a dead letter ends the ticket of its original, if it is one."""
        if not isinstance(message, DeadLetter):
            self.keys.add(_key(message))
            return
        digest = _digest(message.original)
        self.letters[message.agent, message.origin] = Letter(message.reason, digest, message.original_size)
        try:
            self.keys.add(_key(TOPICS[message.topic.removeprefix(prefix)].message.decode(message.original)))
        except InvalidMessage:
            return


class Inputs:
    """The records of one topic by ``topic/partition/offset``; ``ends`` says how long its partitions are."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.records: dict[str, Input] = {}
        self.ends: dict[int, int] = {}

    def sent(self, partition: int, offset: int, place: str, value: bytes | None) -> None:
        """Note a record that the broker took."""
        try:
            message, refused = TOPICS[self.topic].message.decode(value), None
        except InvalidMessage as invalid:
            message, refused = None, invalid.reason
        data = value or b""
        self.records[place] = Input(refused, "" if message is None else _key(message), _digest(data), len(data))
        self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)

    def ended(self, agent: str, seen: Seen, *, keys: Collection[str] | None) -> Ended:
        """Account for every record as ``agent`` read it.

        ``keys`` are the tickets that have an end, of which every valid record is to be one; None for an agent that answers only some.
        """
        found = Ended(agent, sent=len(self.records))
        for place, record in self.records.items():
            letter = seen.letters.get((agent, place))
            if letter is not None:
                found.letters[letter.reason] += 1
                intact = (letter.digest, letter.size) == (record.digest, record.size) or record.size > CUT_TO
                if not intact or letter.reason != (record.refused or letter.reason):
                    found.wrong.append(f"{place}: {letter.reason}, expected {record.refused}")
            elif record.refused is not None:
                found.lost.append(f"{place}: no dead letter ({record.refused})")
            elif keys is None:
                found.silent += 1
            elif record.key in keys:
                found.results += 1
            else:
                found.lost.append(f"{place}: no result for {record.key!r}")
        return found


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _key(message: Message) -> str:
    return str(getattr(message, "ticket_id", ""))

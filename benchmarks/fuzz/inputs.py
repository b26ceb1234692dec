"""What was thrown at one topic, record by record, and how each one ended. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from schemas import TOPICS, DeadLetter, InvalidMessage, Message


@dataclass(frozen=True, slots=True)
class Input:
    """One record that the broker took: what its topic's parser says of it, and a digest of its bytes."""

    refused: str | None
    """Why it is no message; None where it is one."""
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


class Inputs:
    """The records of one topic by ``topic/partition/offset``, and the dead letters and results that were seen."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._topic = TOPICS[topic]
        self.records: dict[str, Input] = {}
        self.ends: dict[int, int] = {}
        self.letters: dict[tuple[str, str], Letter] = {}
        self.keys: set[str] = set()

    def sent(self, partition: int, offset: int, place: str, value: bytes | None) -> None:
        """Note a record that the broker took."""
        try:
            message, refused = self._topic.message.decode(value), None
        except InvalidMessage as invalid:
            message, refused = None, invalid.reason
        data = value or b""
        key = "" if message is None else _key(message)
        self.records[place] = Input(refused, key, hashlib.blake2b(data, digest_size=16).digest(), len(data))
        self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)

    def see(self, message: Message, prefix: str) -> None:
        """Take a message from where records end; a dead letter of a message that followed from one ends its ticket too."""
        if not isinstance(message, DeadLetter):
            self.keys.add(_key(message))
            return
        digest = hashlib.blake2b(message.original, digest_size=16).digest()
        self.letters[message.agent, message.origin] = Letter(message.reason, digest, message.original_size)
        if message.origin not in self.records and (topic := TOPICS.get(message.topic.removeprefix(prefix))):
            try:
                self.keys.add(_key(topic.message.decode(message.original)))
            except InvalidMessage:
                return

    def ended(self, agent: str, *, stored: Collection[str] = (), answers: bool) -> Ended:
        """Account for every record as ``agent`` read it. ``stored`` are ids that ended elsewhere; one that ``answers`` owes
        every valid message a result."""
        found = Ended(agent, sent=len(self.records))
        for place, record in self.records.items():
            letter = self.letters.get((agent, place))
            if letter is not None:
                found.letters[letter.reason] += 1
                intact = (letter.digest, letter.size) == (record.digest, record.size) or record.size > 256 * 1024
                if not intact or letter.reason != (record.refused or letter.reason):
                    found.wrong.append(f"{place}: {letter.reason}, expected {record.refused}")
            elif record.refused is not None:
                found.lost.append(f"{place}: no dead letter ({record.refused})")
            elif not answers:
                found.silent += 1
            elif record.key in self.keys or record.key in stored:
                found.results += 1
            else:
                found.lost.append(f"{place}: no result for {record.key!r}")
        return found


def _key(message: Message) -> str:
    return str(getattr(message, "ticket_id", ""))

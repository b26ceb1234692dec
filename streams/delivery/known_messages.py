"""What a stage has finished, by its own topic too: so that a message that comes twice is not paid for twice after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

from schemas import InvalidMessage, Topic
from schemas.headers import LETTER_HEADER
from streams.delivery.dispatch import FinishedIds
from streams.delivery.handling import id_of
from streams.delivery.stage import Record

#: Yields the records of each (topic, partition) before an offset, in order: the last so many of each.
History = Callable[[Mapping[tuple[str, int], int], int], AsyncIterator[Record]]
#: The last messages of a partition that are read again, some 4 KB each: an agent that was killed sends again what it has not
#: committed, which is soon after it was sent first.
_TAIL = 500


class KnownMessages(FinishedIds):
    """The messages of a topic that are finished in this process, or stand there before the committed offset.

    A redriven message is handled again, whatever is known. ``own_id`` returns a message's id; without it, the key and the turn.
    """

    def __init__(self, topic: Topic, history: History, own_id: Callable[[Any], bytes] | None = None) -> None:
        super().__init__()
        self.id_of = own_id or partial(id_of, topic)
        self._topic = topic
        self._history = history
        self._upto: dict[tuple[str, int], int] = {}

    def read(self, record: Record) -> Any:
        """Return the message of a record; raises InvalidMessage."""
        message = self._topic.message.decode(record.value)
        if any(name == LETTER_HEADER for name, _ in record.headers):
            self.discard([self.id_of(message)])
        return message

    def forget(self) -> None:
        """Forget nothing: what is known stays true in the next assignment, and what came meanwhile is read there."""

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Remember the last messages of these partitions before their offsets, all of which are finished."""
        missing = {place: offset for place, offset in before.items() if offset > self._upto.get(place, 0)}
        if not missing:
            return
        async for record in self._history(missing, _TAIL):
            try:
                message = self._topic.message.decode(record.value)
            except InvalidMessage:
                continue  # a dead letter
            self.add(self.id_of(message))
        self._upto |= missing

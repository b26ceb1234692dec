"""Which tickets classify knows: the latest text of each, so that a duplicate is paid for once, and a revision handled."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from schemas import InvalidMessage, bytes_of, digest_of
from streams.agents.arrival import Arrival, TicketRecord

#: Yields the records of each (topic, partition) before an offset, in order: the last ``limit`` of each.
History = Callable[[Mapping[tuple[str, int], int], int], AsyncIterator[TicketRecord]]
#: Revision, run, digest of the text; the ticket's id follows.
_HEAD = struct.Struct(">QQ16s")


class KnownTickets:
    """The tickets that are finished or older than what is read, ``limit`` of them, the oldest forgotten first.

    A ticket is a duplicate if it has the text that is known, and outdated if a later text is known, or a later run. What has
    the same revision and run is the same record, redelivered, and no duplicate: its outputs are out. Rebuilt from the tail of
    the topic before the committed offset.
    """

    def __init__(self, limit: int, history: History) -> None:
        self._limit = limit
        self._history = history
        self._heads: dict[bytes, bytes] = {}
        self._upto: dict[tuple[str, int], int] = {}

    def __len__(self) -> int:
        return len(self._heads)

    @staticmethod
    def id_of(arrival: Arrival) -> bytes:
        """Return what is remembered of a ticket once it is finished."""
        ticket = arrival.ticket
        key = bytes_of(ticket.ticket_id)
        return _HEAD.pack(arrival.turn.revision, arrival.turn.run, digest_of(ticket.text)) + key

    def group_of(self, message_id: bytes) -> bytes:
        """Return what all texts of one ticket share."""
        return message_id[_HEAD.size :]

    def why_known(self, message_id: bytes) -> str | None:
        """Return why a ticket needs no call; None if it does."""
        head = self._heads.get(message_id[_HEAD.size :])
        if head is None:
            return None
        revision, run, digest = _HEAD.unpack(head)
        mine, my_run, my_digest = _HEAD.unpack_from(message_id)
        if (mine, my_run) == (revision, run):
            return "known_id"
        if not my_run and my_digest == digest:
            return "duplicate"
        return "outdated" if (mine, my_run) < (revision, run) else None

    def add(self, message_id: bytes) -> None:
        """Remember a finished ticket, unless a later text is known."""
        key, head = message_id[_HEAD.size :], message_id[: _HEAD.size]
        known = self._heads.pop(key, head)
        # Revision and run stand in front, so the later one is the greater one.
        self._heads[key] = max(known, head)
        if len(self._heads) > self._limit:
            # Half at once: dropping one at a time from a dict's front costs a scan over what was dropped before.
            self._heads = dict(list(self._heads.items())[self._limit // 2 + 1 :])

    def discard(self, message_ids: Iterable[bytes]) -> None:
        """Forget tickets that are not finished after all."""
        for message_id in message_ids:
            key = message_id[_HEAD.size :]
            if self._heads.get(key) == message_id[: _HEAD.size]:
                del self._heads[key]

    def forget(self) -> None:
        """Forget nothing: what is known stays true in the next assignment, and what came meanwhile is read there."""

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Remember the last tickets of these partitions before their offsets, all of which are finished."""
        missing = {place: offset for place, offset in before.items() if offset > self._upto.get(place, 0)}
        if not missing:
            return
        async for record in self._history(missing, max(1, self._limit // len(missing))):
            try:
                self.add(self.id_of(Arrival.read(record)))
            except InvalidMessage:
                continue  # a dead letter
        self._upto |= missing

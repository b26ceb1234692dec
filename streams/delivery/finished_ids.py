"""A bounded memory of message ids that are finished in this process.

A broker that drops commit metadata, or a producer that sends a ticket twice, makes the same id come again. Within a
process this memory saves the second model call; across processes the deterministic result id does.
"""

from __future__ import annotations

from collections.abc import Iterable


class FinishedIds:
    """The last ``limit`` finished ids, oldest forgotten first."""

    __slots__ = ("_ids", "_limit")

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._ids: dict[bytes, None] = {}

    def __contains__(self, message_id: bytes) -> bool:
        return message_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, message_id: bytes) -> None:
        """Remember one id."""
        self._ids[message_id] = None
        if len(self._ids) > self._limit:
            # Half at once: dropping one at a time from a dict's front costs a scan over what was dropped before.
            self._ids = dict.fromkeys(list(self._ids)[self._limit // 2 + 1 :])

    def discard(self, message_ids: Iterable[bytes]) -> None:
        """Forget ids that are not finished after all."""
        for message_id in message_ids:
            self._ids.pop(message_id, None)

"""settle: lets the result that counts stand last on ``routed``, so that a compacted topic keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from schemas import Rank, Routed, rank

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a record without a value says: nothing of this ticket is to be kept."""

    ticket_id: str


#: Yields what was said in each (topic, partition) before an offset, in order: the last ``limit`` of each.
History = Callable[[Mapping[tuple[str, int], int], int], AsyncIterator[Routed | Forgotten]]
#: Whole results take room: they are kept of this share of the tickets whose rank is known.
_WHOLE = 10


class SettleHandler:
    """Routed -> the result that counts, once more, if a lower one was written after it; else nothing.

    It is its own ``Memory``: the ranks of the last ``limit`` tickets and the whole results of the last tenth of them,
    rebuilt from the tail of the topic. A lower result that comes later than that stands. What is forgotten is not
    written again.
    """

    def __init__(self, limit: int, history: History) -> None:
        self._limit = limit
        self._whole = max(1, limit // _WHOLE)
        self._history = history
        self._ranks: dict[str, Rank] = {}
        self._results: dict[str, bytes] = {}

    def __call__(self, message: Routed | Forgotten) -> Sequence[Routed]:
        """Look at one result."""
        if self._take(message):
            return ()
        kept = self._results.get(message.ticket_id)
        return () if kept is None else (Routed.decode(kept),)

    def turn_of(self, ticket_id: str) -> tuple[int, int] | None:
        """Return the revision and the run of a ticket's result; None if it is not known."""
        place = self._ranks.get(ticket_id)
        return None if place is None else place[:2]

    def forget(self) -> None:
        """Forget everything: another worker may have settled what came meanwhile."""
        self._ranks, self._results = {}, {}

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Look at the last results of these partitions before their offsets."""
        async for message in self._history(before, max(1, self._limit // len(before))):
            self._take(message)

    def _take(self, message: Routed | Forgotten) -> bool:
        """Return whether no known result of the ticket counts more, and keep it if so."""
        ticket_id = message.ticket_id
        if isinstance(message, Forgotten):
            self._ranks.pop(ticket_id, None)
            self._results.pop(ticket_id, None)
            return True
        place = rank(message)
        if place < self._ranks.get(ticket_id, place):
            return False
        _keep(self._ranks, ticket_id, place, self._limit)
        _keep(self._results, ticket_id, message.encode(), self._whole)
        return True


def _keep(kept: dict[str, T], key: str, value: T, limit: int) -> None:
    """Keep a value as the newest one, and drop the oldest ones beyond the limit."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > limit:
        # Half at once: dropping one at a time from a dict's front costs a scan over what was dropped before.
        for oldest in list(kept)[: len(kept) - limit // 2]:
            del kept[oldest]

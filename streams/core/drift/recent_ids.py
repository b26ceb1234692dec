"""Which probes were seen lately, in bounded memory."""

from __future__ import annotations

from collections import deque
from typing import Final

REMEMBERED: Final = 200
"""A probe that comes again does so soon: after a second prober, or a producer that was not sure."""


class RecentIds:
    """The ids of the latest probes of a series."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._ids: set[str] = set()

    def repeated(self, probe_id: str) -> bool:
        """Return whether this id is among the latest, and remember it."""
        if probe_id in self._ids:
            return True
        self._ids.add(probe_id)
        self._order.append(probe_id)
        if len(self._order) > REMEMBERED:
            self._ids.discard(self._order.popleft())
        return False

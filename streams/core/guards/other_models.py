"""The model ids that answered although the contract does not allow them."""

from __future__ import annotations

from collections import deque

from streams.core.guards.finding import Bell

#: The most ids that are kept apart; the oldest is forgotten for a new one.
_MOST = 8


class OtherModels:
    """Says of each id that it is new, once and again after the bell's time."""

    def __init__(self, again_s: float) -> None:
        self._bell = Bell(again_s)
        self._ids: deque[str] = deque()

    def __bool__(self) -> bool:
        return bool(self._ids)

    def see(self, model: str, now: float) -> bool:
        """Return whether to speak about this model at ``now`` (seconds)."""
        if model not in self._ids:
            if len(self._ids) == _MOST:
                self._bell.over(self._ids.popleft())
            self._ids.append(model)
        return self._bell.pull(model, now)

    def resume(self, model: str) -> None:
        """Take it that this model answered before this began."""
        if model not in self._ids and len(self._ids) < _MOST:
            self._ids.append(model)

    def forget(self) -> list[str]:
        """Return the ids that were seen, and begin again."""
        ids = list(self._ids)
        for model in ids:
            self._bell.over(model)
        self._ids.clear()
        return ids

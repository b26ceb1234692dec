"""A memory whose content follows from the records of its topic, and is rebuilt from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Generic, TypeVar

from schemas import Message

M = TypeVar("M", bound=Message)
Told = TypeVar("Told")
#: Yields the messages of each (topic, partition) before an offset, in order.
History = Callable[[Mapping[tuple[str, int], int]], AsyncIterator[M]]


class Replayed(Generic[M, Told]):
    """The memory of a stage: a watch that is fed live, or silently from the topic's history.

    ``make`` returns the ``update`` of a new watch, whose whole state follows from what it is fed.
    """

    def __init__(self, make: Callable[[], Callable[[M], Told]], history: History[M]) -> None:
        self._make = make
        self._history = history
        self._update = make()

    def update(self, message: M) -> Told:
        """Feed one live message, and return what the watch says of it."""
        return self._update(message)

    def forget(self) -> None:
        """Begin with a watch that knows nothing."""
        self._update = self._make()

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Feed the history of these partitions; what the watch says of it was sent when it was handled."""
        update = self._update  # of a watch that is forgotten meanwhile: fed to the end, and of no consequence
        async for message in self._history(before):
            update(message)

"""A handler that remembers: what it knows follows from the records of its topic, and is rebuilt from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from schemas import Message

M = TypeVar("M", bound=Message)
Told = TypeVar("Told")
#: Yields the messages of each (topic, partition) before an offset, in order.
History = Callable[[Mapping[tuple[str, int], int]], AsyncIterator[M]]


class Replayed(Generic[M, Told]):
    """The handler of a stage and its memory: a watch that is fed live, or silently from the topic's history.

    ``make`` returns the ``update`` of a new watch, whose whole state follows from what it is fed; ``tell`` turns what it
    says of a live message into the messages to send.
    """

    def __init__(
        self, make: Callable[[], Callable[[M], Told]], tell: Callable[[Told], Sequence[Message]], history: History[M]
    ) -> None:
        self._make = make
        self._tell = tell
        self._history = history
        self._update = make()

    def __call__(self, message: M) -> Sequence[Message]:
        """Handle one live message."""
        return self._tell(self._update(message))

    def forget(self) -> None:
        """Begin with a watch that knows nothing."""
        self._update = self._make()

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Feed the history of these partitions; nothing is told, for whoever handled it has told it."""
        update = self._update  # of a watch that is forgotten meanwhile: fed to the end, and of no consequence
        async for message in self._history(before):
            update(message)

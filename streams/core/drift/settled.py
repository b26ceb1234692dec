"""The value that an endpoint has settled on (its k, its model id), and when it settles on another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from operator import eq
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=str | int)

FIRST: Final = 24
"""Values before the first is settled: the most frequent of them."""

RUN: Final = 3
"""Values in a row that settle one which is new here."""

LONG_RUN: Final = 24
"""Values in a row that settle one which has been seen lately: an endpoint with two backends alternates, and that is no
change."""

MEMORY: Final = 48
"""How many values "lately" means."""


@dataclass(frozen=True, slots=True)
class Resettled(Generic[T]):
    """A new settled value, what it was before, and the values in a row that confirmed it."""

    was: T
    now: T
    run: int


class Settled(Generic[T]):
    """Follows a value row by row; ``same`` says which differences count as none."""

    def __init__(self, same: Callable[[T, T], bool] = eq) -> None:
        self._same = same
        self._recent: deque[T] = deque(maxlen=MEMORY)
        self._run = 0
        self.value: T | None = None

    def update(self, value: T) -> Resettled[T] | None:
        """Take the next value; a ``Resettled`` if it confirms a new one, otherwise None."""
        previous = self._recent[-1] if self._recent else value
        self._recent.append(value)
        if self.value is None:
            if len(self._recent) >= FIRST:
                self.value = Counter(self._recent).most_common(1)[0][0]
            return None
        if self._same(value, self.value):
            self._run = 0
            return None
        self._run = self._run + 1 if self._same(value, previous) else 1
        before_run = list(self._recent)[: -self._run]
        known = any(self._same(value, earlier) for earlier in before_run)
        if self._run < (LONG_RUN if known else RUN):
            return None
        change = Resettled(self.value, value, self._run)
        self.value, self._run = value, 0
        return change

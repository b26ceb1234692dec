"""Tells a model that returned once from two models that alternate."""

from __future__ import annotations

from typing import Final

from streams.core.drift.judgement import Kind
from streams.core.drift.row import At

STAYED: Final = 200
"""Rows without a swap after which two models no longer count as alternating."""


class Alternation:
    """Counts the returns in succession between the same two models. In bounded memory."""

    def __init__(self) -> None:
        self._swaps: list[At] = []
        self._returns = 0
        self._rows = 0

    @property
    def swaps(self) -> tuple[At, ...]:
        """When the models were swapped, the first time included, up to the second return."""
        return tuple(self._swaps)

    def wait(self) -> None:
        """Take note of one more row."""
        self._rows += 1

    def left(self, at: At) -> None:
        """Take note of a change to a model that is new."""
        self._swaps, self._returns, self._rows = [at], 0, 0

    def returned(self, at: At, is_last: bool) -> Kind | None:
        """What the return to an earlier model is; None if it is said already that it alternates with this one.

        ``is_last``: whether it is the model that answered before this one.
        """
        if not is_last or self._rows > STAYED:
            self._swaps, self._returns = [], 0
        self._returns, self._rows = self._returns + 1, 0
        if self._returns > 2:
            return None
        self._swaps.append(at)
        return Kind.RETURNED if self._returns == 1 else Kind.ALTERNATING

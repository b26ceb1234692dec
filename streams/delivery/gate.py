"""A gate that work passes: open, held for a while, or shut."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from streams.aio import Changes


class GateState(StrEnum):
    """What a gate does with those who come to it."""

    OPEN = "open"
    """They pass."""
    HELD = "held"
    """They wait for ``release``; the reason is expected to go away by itself."""
    SHUT = "shut"
    """They wait for ``open``, which begins something new; a ``release`` does not help."""


class Gate:
    """One state, and those who wait for it to be open.

    ========== ====== ========= ====== ======
    from       hold   release   shut   open
    ========== ====== ========= ====== ======
    open       held   open      shut   open
    held       held   open      shut   open
    shut       shut   shut      shut   open
    ========== ====== ========= ====== ======

    So the holder of a gate can always release it: what was shut meanwhile stays shut. ``changes`` is noted at every change.
    """

    __slots__ = ("_changes", "_opened", "_state")

    def __init__(self, changes: Changes, state: GateState = GateState.SHUT) -> None:
        self._changes = changes
        self._opened = asyncio.Event()
        self._set(state)

    @property
    def state(self) -> GateState:
        """The present state."""
        return self._state

    @property
    def is_open(self) -> bool:
        """Whether work passes now."""
        return self._state is GateState.OPEN

    @property
    def is_shut(self) -> bool:
        """Whether only ``open`` lets work pass again."""
        return self._state is GateState.SHUT

    def open(self) -> None:
        """Let work pass."""
        self._set(GateState.OPEN)

    def hold(self) -> None:
        """Keep work waiting until ``release``."""
        if self.is_open:
            self._set(GateState.HELD)

    def release(self) -> None:
        """End a hold."""
        if self._state is GateState.HELD:
            self._set(GateState.OPEN)

    def shut(self) -> None:
        """Keep work waiting until ``open``."""
        self._set(GateState.SHUT)

    async def passed(self) -> None:
        """Return as soon as the gate is open, with no await in between."""
        while not self.is_open:  # it may close again before this wakes up
            await self._opened.wait()

    def _set(self, state: GateState) -> None:
        self._state = state
        if state is GateState.OPEN:
            self._opened.set()
        else:
            self._opened.clear()
        self._changes.note()

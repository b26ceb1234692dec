"""What the calls to one endpoint tell one another on their way, long before the slowest of them has come to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed and may pass."""

    detail: str
    took_s: float
    first_timeout: bool = False
    """Whether it is the call's first time-out that was not caused by a stall of this process."""
    after_s: float | None = None
    """How long the endpoint asked to be left alone, seconds."""


class Outlook:
    """Hears of failed attempts, and ends the calls that pause between two attempts once the endpoint is down.

    Without a follower no failure is reported, and no call is cut short.
    """

    def __init__(self) -> None:
        self.is_down = False
        self.failed: Callable[[Failure], None] = lambda _failure: None
        self._waits = False
        self._pauses: set[asyncio.Timeout] = set()

    def follow(self, failed: Callable[[Failure], None], *, waits: bool) -> None:
        """Call ``failed`` with every failure from now on. ``waits`` says that tickets wait for this endpoint anyway."""
        self.failed = failed
        self._waits = waits

    def set_down(self, down: bool) -> None:
        """Say whether the endpoint is taken to be unavailable: while it is, nobody tries again."""
        self.is_down = down
        if down:
            now = asyncio.get_running_loop().time()
            for pause in self._pauses:
                pause.reschedule(now)
            self._pauses.clear()

    def allows(self, pause_s: float, left_s: float) -> bool:
        """Return whether a call may pause and then try again, if its deadline is in ``left_s``.

        A pause beyond the deadline keeps a ticket from going on in a rush to the dearer tier, which no ticket does that
        waits.
        """
        return not self.is_down and (pause_s < left_s or not self._waits)

    @contextlib.asynccontextmanager
    async def until(self, deadline: float) -> AsyncIterator[asyncio.Timeout]:
        """Bound what is inside by a deadline (seconds of the loop's clock), which ends at once in a ``pause``."""
        async with asyncio.timeout_at(deadline) as limit:
            try:
                yield limit
            finally:
                self._pauses.discard(limit)

    def pause(self, limit: asyncio.Timeout) -> None:
        """Note that what is bounded by ``limit`` pauses."""
        self._pauses.add(limit)

    def go_on(self, limit: asyncio.Timeout) -> None:
        """Note that its pause is over."""
        self._pauses.discard(limit)

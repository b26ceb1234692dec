"""The one tree of errors, in the three cases a worker must tell apart.

::

    HedgerowError
    ├── TryAgain      the same input may succeed later: 429, 5xx, a timeout, an unavailable broker
    │   └── Hold            it waits until what it needs is back, however long that takes
    ├── GiveUp        this ticket will never succeed: it goes to the dead letters with its original bytes
    └── StopWorker    nothing will succeed until a person acts: the worker ends, nothing is committed
        ├── SettingsError   a setting, policy or contract file that cannot be used
        └── SandboxError    a part of the sandbox that cannot be started here
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class HedgerowError(Exception):
    """Anything that Hedgerow raises on purpose."""


class TryAgain(HedgerowError):
    """The same input may succeed later.

    ``after`` is the shortest wait in seconds that the other side asked for (``Retry-After``), or None.
    """

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Hold(TryAgain):
    """What the input needs is unavailable: it is tried again once ``over`` returns, which no deadline cuts short.

    It counts as no attempt. ``over`` may raise StopWorker.
    """

    def __init__(self, message: str, over: Callable[[], Awaitable[None]]) -> None:
        super().__init__(message)
        self.over = over


class GiveUp(HedgerowError):
    """This ticket can never succeed; ``reason`` is the short name counted in metrics and dead letters."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class StopWorker(HedgerowError):
    """Nothing can succeed until a person acts; the message is one line that says what to do."""


class SettingsError(StopWorker):
    """A setting, policy or contract file that cannot be used, named in one line."""


class SandboxError(StopWorker):
    """A part of the sandbox that cannot be started here, with the reason."""

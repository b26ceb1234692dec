"""How often each of several things happens in the last calls, and how often it did before."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from schemas.fleet import MAX_KINDS, Counted
from streams.core.fleet.others import Tally

#: The history holds this many windows; then all of it counts half.
_MEMORY_WINDOWS = 20

_NOTHING = Tally()

_Number = TypeVar("_Number", int, float)


class Rates:
    """Counts over a window of the last calls, and a slowly forgetting history of the calls before it.

    A call that leaves the window enters the history unless ``learn`` was False when it left: what is an alarm today
    must not be tomorrow's normal.

    What the same guards of other workers have counted, which ``elsewhere`` returns, is counted in, but for what is ``own``.
    """

    def __init__(self, window: int, elsewhere: Callable[[], Tally] = lambda: _NOTHING) -> None:
        self._elsewhere = elsewhere
        self._window: deque[frozenset[str]] = deque()
        self._size = window
        self._counts: Counter[str] = Counter()
        self._before: dict[str, float] = {}
        self._before_calls = 0.0

    @property
    def own_calls(self) -> int:
        """How many calls of this worker are in its window."""
        return len(self._window)

    @property
    def calls(self) -> int:
        """How many calls are in the windows."""
        return len(self._window) + self._elsewhere().calls

    def push(self, names: Collection[str], *, learn: bool = True) -> None:
        """Take the next call, and what happened in it."""
        entry = frozenset(names)
        self._window.append(entry)
        self._counts.update(entry)
        if len(self._window) > self._size:
            self._leave(self._window.popleft(), learn=learn)

    def count(self, name: str) -> int:
        """Return in how many calls of the windows ``name`` happened."""
        return self._counts[name] + self._elsewhere().counts.get(name, 0)

    def before(self, name: str) -> tuple[float, float]:
        """Return (calls in which ``name`` happened, calls) of the history."""
        others = self._elsewhere()
        return (
            self._before.get(name, 0.0) + others.counts_before.get(name, 0.0),
            self._before_calls + others.calls_before,
        )

    def expected(self, name: str, prior: float, weight: float) -> float:
        """Return the history's share of ``name``, if ``prior`` counts like ``weight`` calls."""
        hits, calls = self.before(name)
        return (hits + prior * weight) / (calls + weight)

    def names(self) -> dict[str, int]:
        """Return name to count for all that happened in the windows."""
        return dict(self._counts + Counter(self._elsewhere().counts))

    def state(self, at_ms: int, *, learns: bool) -> Counted:
        """Return what to tell the others: the last call was at ``at_ms`` (Unix time); ``learns`` as in ``push``."""
        return Counted(
            at_ms=at_ms,
            calls=len(self._window),
            counts=_most(self._counts),
            calls_before=self._before_calls,
            counts_before=_most(self._before),
            learns=learns,
        )

    def forget(self, names: Collection[str]) -> None:
        """Drop these from the window, as if they had not happened in its calls."""
        gone = frozenset(names)
        self._window = deque(entry - gone for entry in self._window)
        for name in gone:
            self._counts.pop(name, None)

    def forget_window(self) -> None:
        """Begin an empty window; the history stays."""
        self._window.clear()
        self._counts.clear()

    def _leave(self, entry: frozenset[str], *, learn: bool) -> None:
        for name in entry:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
        if not learn:
            return
        self._before_calls += 1
        for name in entry:
            self._before[name] = self._before.get(name, 0.0) + 1
        if self._before_calls > _MEMORY_WINDOWS * self._size:
            self._before_calls /= 2
            self._before = {name: hits / 2 for name, hits in self._before.items() if hits >= 0.01}


def _most(counts: Mapping[str, _Number]) -> dict[str, _Number]:
    """Return the largest counts, as many as one message holds."""
    if len(counts) <= MAX_KINDS:
        return dict(counts)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_KINDS])

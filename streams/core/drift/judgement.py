"""What a detector can say about a row: too early, quiet, an alarm, or no sample at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streams.core.drift.row import At, Unusable


class Kind(StrEnum):
    """What an alarm says has changed."""

    CHANGE = "change"
    DRIFT = "drift"
    RETURNED = "returned"
    ALTERNATING = "alternating"
    K_CHANGE = "k_change"
    MISSING = "missing"
    MODEL_CHANGE = "model_change"
    FINGERPRINT_CHANGE = "fingerprint_change"


MOVEMENTS: Final = frozenset({Kind.CHANGE, Kind.DRIFT, Kind.RETURNED, Kind.ALTERNATING})
"""What a detector finds in the logprobs, and no watcher of a contract."""


@dataclass(frozen=True, slots=True)
class NotEnough:
    """Too early to decide: ``n`` of the ``needed`` usable rows are there."""

    n: int
    needed: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """Decided, and nothing to report; ``score`` is on the detector's own scale (see its class)."""

    statistic: float
    score: float
    threshold: float
    """The value that the statistic would have to pass."""


class QuietUnmeasured(Quiet):
    """As ``Quiet``, known before anything was measured: that is done when it is asked for, and may cost a fit."""

    __slots__ = ("_measure",)
    _measure: Callable[[], Quiet]

    def __init__(self, measure: Callable[[], Quiet]) -> None:
        object.__setattr__(self, "_measure", measure)

    @property
    def statistic(self) -> float:
        """The statistic."""
        return self._measure().statistic

    @property
    def score(self) -> float:
        """On the detector's own scale."""
        return self._measure().score

    @property
    def threshold(self) -> float:
        """The value that the statistic would have to pass."""
        return self._measure().threshold


@dataclass(frozen=True, slots=True)
class Span:
    """A run of usable rows: the times of the first and the last, and how many they are."""

    first: At
    last: At
    n: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A token whose mean logprob moved, in nats, censored where rows did not list it."""

    token: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something changed.

    For the model's own movement (``MOVEMENTS``): the detector's statistic, its score, the value the statistic had to pass,
    the rows it compared and the tokens that moved most. If the rows are like those of an earlier reference, ``matched`` are
    the rows of that one; ``swaps`` are the times of the first row after each swap between two models that alternate. For
    a change of the contract (the other kinds): ``was`` and ``now`` name it, ``statistic`` is the new k or the rows in
    the run, ``score`` the rows that confirmed it.
    """

    kind: Kind
    statistic: float
    score: float
    threshold: float
    before: Span | None = None
    after: Span | None = None
    moved: tuple[Moved, ...] = ()
    was: str | int | None = None
    now: str | int | None = None
    matched: Span | None = None
    swaps: tuple[At, ...] = ()


Judgement = NotEnough | Quiet | Unusable | Alarm

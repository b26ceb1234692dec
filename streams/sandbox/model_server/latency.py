"""How long the simulated service takes to answer."""

from __future__ import annotations

import random
from dataclasses import dataclass

from streams.errors import SettingsError

_PARETO_SHAPE = 1.5
_LONGEST = 20.0


@dataclass(frozen=True, slots=True)
class Latency:
    """A fixed time, and for a share of the calls a heavy tail on top of it.

    A call in the tail waits ``tail_ms`` times a Pareto variate (shape 1.5, at most 20): most little more than
    ``tail_ms``, a few far longer. Raises SettingsError for impossible values.
    """

    base_ms: float = 3.0
    tail_rate: float = 0.0
    tail_ms: float = 200.0

    def __post_init__(self) -> None:
        if self.base_ms < 0.0 or self.tail_ms < 0.0 or not 0.0 <= self.tail_rate <= 1.0:
            raise SettingsError(f"a latency needs times of at least 0 ms and a tail rate from 0 to 1, got {self}")

    def draw(self, chance: random.Random) -> float:
        """Return the seconds that one call takes."""
        milliseconds = self.base_ms
        if self.tail_rate > 0.0 and chance.random() < self.tail_rate:
            milliseconds += self.tail_ms * min(_LONGEST, chance.paretovariate(_PARETO_SHAPE))
        return milliseconds / 1000.0

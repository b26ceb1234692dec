"""Time by the clock and of the CPU, and what of the former other work on the machine took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

_QUEUED = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds that this thread ran, and those that it was ready to run and waited for a core."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds: by the clock, of this process's CPU, and for which this thread waited for a core."""

    wall: float
    cpu: float
    queued: float

    @property
    def alone(self) -> float:
        """Seconds by the clock without other work on the machine; waits for a broker that itself waited are in it."""
        return self.wall - self.queued


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._began = _now()

    def read(self) -> Spent:
        """Return what has been spent since."""
        return Spent(*(now - began for now, began in zip(_now(), self._began, strict=True)))


def _now() -> tuple[float, float, float]:
    queued = int(_QUEUED.read_text().split()[1]) / 1e9 if _QUEUED.is_file() else 0.0
    return time.perf_counter(), time.process_time(), queued

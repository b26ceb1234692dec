"""False alarms on quiet endpoints and changes caught, for every detector, on simulated endpoints."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from streams.core.drift import DETECTORS, Kind, replay
from streams.core.drift.simulate import Endpoint, probe_rows

WITHIN: Final = 72
"""Rows after a change in which an alarm counts as its own."""

CHANGE_AT: Final = 300

QUIET: Final = {
    "rho 0": Endpoint(rho=0.0),
    "rho 0.5": Endpoint(rho=0.5),
    "rho 0.8": Endpoint(rho=0.8),
    "rho 0.8, a common mode": Endpoint(rho=0.8, common=0.03),
    "rho 0.8, 5 % missing, 5 % errors": Endpoint(rho=0.8, missing=0.05, errors=0.05),
    "two serving modes, 30 %": Endpoint(rho=0.2, mode_rms=0.05, mode_share=0.3),
    "exactly two values, 4 %": Endpoint(sigma=0.0, mode_rms=0.02, mode_share=0.04),
    "k of 5": Endpoint(k=5),
    "k from 20 to 5": Endpoint(k_at=300),
}

CHANGED: Final = {
    "rho 0.5, change 0.02": Endpoint(change_rms=0.02),
    "rho 0.5, change 0.05": Endpoint(change_rms=0.05),
    "rho 0.5, change 0.1": Endpoint(change_rms=0.1),
    "rho 0.5, change 0.3": Endpoint(change_rms=0.3),
    "rho 0.5, change 1": Endpoint(change_rms=1.0),
    "rho 0.5, change 3": Endpoint(change_rms=3.0),
    "rho 0.8, change 0.05": Endpoint(rho=0.8, change_rms=0.05),
    "sigma 0.05, change 0.05": Endpoint(sigma=0.05, change_rms=0.05),
    "exactly two values, change 0.05": Endpoint(sigma=0.0, mode_rms=0.02, mode_share=0.04, change_rms=0.05),
}


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is simulated: rows of each quiet series, series of each kind."""

    rows: int
    quiet: int
    changed: int


SMALL: Final = Effort(rows=600, quiet=2, changed=3)
FULL: Final = Effort(rows=1000, quiet=20, changed=40)


@dataclass(frozen=True, slots=True)
class Quietness:
    """False alarms among so many rows."""

    alarms: int
    rows: int


@dataclass(frozen=True, slots=True)
class Power:
    """Changes caught within ``WITHIN`` rows, of so many; the median delay in rows of those caught (0: the first row)."""

    caught: int
    changes: int
    median_delay: float | None


def quietness(detector: str, endpoint: Endpoint, effort: Effort) -> Quietness:
    """Count alarms that say the model moved, where it did not."""
    alarms = sum(len(list(moved(detector, endpoint, effort.rows, seed))) for seed in range(1000, 1000 + effort.quiet))
    return Quietness(alarms, effort.quiet * effort.rows)


def power(detector: str, endpoint: Endpoint, effort: Effort) -> Power:
    """Follow as many series, each with one change."""
    changing = replace(endpoint, change_at=CHANGE_AT)
    delays: list[int] = []
    for seed in range(2000, 2000 + effort.changed):
        found = moved(detector, changing, CHANGE_AT + WITHIN, seed)
        delays += [index - CHANGE_AT for index in found if index >= CHANGE_AT][:1]
    return Power(len(delays), effort.changed, statistics.median(delays) if delays else None)


def moved(detector: str, endpoint: Endpoint, rows: int, seed: int) -> Iterator[int]:
    """Positions of the alarms that call it a change or a drift."""
    for alarm in replay(probe_rows(endpoint, rows, seed), detector):
        if alarm["kind"] in {Kind.CHANGE, Kind.DRIFT}:
            yield alarm["index"]


def measure(effort: Effort) -> tuple[dict[str, dict[str, Quietness]], dict[str, dict[str, Power]]]:
    """Both tables: by endpoint, then by detector."""
    quiet = {
        name: {detector: quietness(detector, endpoint, effort) for detector in DETECTORS}
        for name, endpoint in QUIET.items()
    }
    changed = {
        name: {detector: power(detector, endpoint, effort) for detector in DETECTORS}
        for name, endpoint in CHANGED.items()
    }
    return quiet, changed

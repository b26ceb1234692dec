"""False alarms on quiet endpoints, changes caught, and second changes, for every detector, on simulated endpoints."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Final

from streams.core.drift import DETECTORS, MOVEMENTS, Kind, read_row, replay
from streams.sandbox.simulated_probes import Endpoint, probe_rows

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
    "two modes far apart, 30 %": Endpoint(rho=0.2, mode_rms=0.3, mode_share=0.3),
    "two modes that last, 30 %": Endpoint(mode_rms=0.3, mode_share=0.3, mode_stay=0.9),
    "in steps of 0.01": Endpoint(sigma=0.01, quantum=0.01),
    "rho 0.8, in steps of 0.01": Endpoint(sigma=0.001, rho=0.8, quantum=0.01),
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
    "two modes far apart, change 0.02": Endpoint(rho=0.2, mode_rms=0.3, mode_share=0.3, change_rms=0.02),
    "two modes that last, change 0.02": Endpoint(mode_rms=0.3, mode_share=0.3, mode_stay=0.9, change_rms=0.02),
    "a common mode, change 0.02": Endpoint(common=0.03, change_rms=0.02),
    "in steps of 0.01, change 0.05": Endpoint(sigma=0.01, quantum=0.01),
    "exactly two values, change 0.05": Endpoint(sigma=0.0, mode_rms=0.02, mode_share=0.04, change_rms=0.05),
}

TWELVE: Final = (
    Endpoint(rho=0.0),
    Endpoint(rho=0.5),
    Endpoint(rho=0.8),
    Endpoint(rho=0.5, common=0.03),
    Endpoint(rho=0.8, common=0.03),
    Endpoint(rho=0.8, missing=0.05, errors=0.05),
    Endpoint(rho=0.2, mode_rms=0.05, mode_share=0.3),
    Endpoint(rho=0.2, sigma=0.001, mode_rms=0.05, mode_share=0.04),
    Endpoint(sigma=0.0, mode_rms=0.02, mode_share=0.04),
    Endpoint(sigma=0.01, quantum=0.01),
    Endpoint(sigma=0.05),
    Endpoint(k=5),
)
"""Endpoints whose model changes more than once."""

SOON: Final = 24
"""Rows after a change in which it is to be named."""

APART: Final = 40
"""Rows from one change to the next."""

AGAIN_RMS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is simulated: rows of each quiet series, series of each kind, series of each of the twelve.

    ``seed`` is where their seeds begin: another one makes other endpoints of the same kinds.
    """

    rows: int
    quiet: int
    changed: int
    again: int
    seed: int = 0

    def seeds(self, first: int, count: int) -> range:
        """The seeds of so many series."""
        return range(self.seed + first, self.seed + first + count)


SMALL: Final = Effort(rows=600, quiet=2, changed=3, again=1)
FULL: Final = Effort(rows=1000, quiet=10, changed=20, again=5)


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


@dataclass(frozen=True, slots=True)
class Named:
    """Series with the wanted alarms and no others, among this many."""

    named: int
    series: int


def kinds(endpoint: Endpoint, rows: int, seed: int) -> dict[str, list[tuple[int, str]]]:
    """By detector, the positions and kinds of the alarms that say the model moved, on the same rows for all."""
    made = list(map(read_row, probe_rows(endpoint, rows, seed)))
    return {
        detector: [(alarm["index"], alarm["kind"]) for alarm in replay(made, detector) if alarm["kind"] in MOVEMENTS]
        for detector in DETECTORS
    }


def alarms(endpoint: Endpoint, rows: int, seed: int) -> dict[str, list[int]]:
    """By detector, the positions of those alarms."""
    return {detector: [index for index, _ in found] for detector, found in kinds(endpoint, rows, seed).items()}


def quietness(endpoint: Endpoint, effort: Effort) -> dict[str, Quietness]:
    """Count alarms if nothing changed."""
    found = [alarms(endpoint, effort.rows, seed) for seed in effort.seeds(1000, effort.quiet)]
    return {
        detector: Quietness(sum(len(each[detector]) for each in found), effort.quiet * effort.rows)
        for detector in DETECTORS
    }


def power(endpoint: Endpoint, effort: Effort) -> dict[str, Power]:
    """Follow as many series, each with one change."""
    changing = replace(endpoint, change_at=CHANGE_AT)
    found = [alarms(changing, CHANGE_AT + WITHIN, seed) for seed in effort.seeds(2000, effort.changed)]
    return {detector: _power([each[detector] for each in found]) for detector in DETECTORS}


def _power(found: list[list[int]]) -> Power:
    delays = [late[0] for each in found if (late := [index - CHANGE_AT for index in each if index >= CHANGE_AT])]
    return Power(len(delays), len(found), statistics.median(delays) if delays else None)


AGAIN: Final = {
    "two changes": (Endpoint(second_at=CHANGE_AT + APART, second_rms=AGAIN_RMS), 1, [Kind.CHANGE, Kind.CHANGE]),
    "returned": (Endpoint(swap_every=APART), 1, [Kind.CHANGE, Kind.RETURNED]),
    "alternating, six swaps": (Endpoint(swap_every=APART), 6, [Kind.CHANGE, Kind.RETURNED, Kind.ALTERNATING]),
}
"""What happens after a first change: how the endpoint is simulated, how many times, and the alarms wanted."""


def again(effort: Effort) -> dict[str, dict[str, Named]]:
    """Count the series, by what happens and by detector, with the wanted alarms and no others, each soon enough."""
    found: dict[str, dict[str, Named]] = {}
    for what, (changed, times, wanted) in AGAIN.items():
        named = dict.fromkeys(DETECTORS, 0)
        rows = CHANGE_AT + times * APART + SOON
        for endpoint in TWELVE:
            changing = replace(
                endpoint,
                change_at=CHANGE_AT,
                change_rms=AGAIN_RMS,
                swap_every=changed.swap_every,
                second_at=changed.second_at,
                second_rms=changed.second_rms,
            )
            for seed in effort.seeds(3000, effort.again):
                for detector, alarmed in kinds(changing, rows, seed).items():
                    late = [index - CHANGE_AT - place * APART for place, (index, _) in enumerate(alarmed)]
                    as_wanted = [kind for _, kind in alarmed] == wanted
                    named[detector] += as_wanted and all(0 <= rows_late < SOON for rows_late in late)
        found[what] = {detector: Named(count, len(TWELVE) * effort.again) for detector, count in named.items()}
    return found


def measure(effort: Effort) -> tuple[dict[str, dict[str, Quietness]], dict[str, dict[str, Power]]]:
    """Both tables: by endpoint, then by detector."""
    quiet = {name: quietness(endpoint, effort) for name, endpoint in QUIET.items()}
    return quiet, {name: power(endpoint, effort) for name, endpoint in CHANGED.items()}

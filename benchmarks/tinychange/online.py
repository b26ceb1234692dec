"""The detectors as they run: fed row by row, how soon they alarm after a change, and how often without one."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from benchmarks.tinychange.recording import Recording
from streams.core.drift import Alarm, Detector, ProbeRow
from streams.core.drift.lt.lt_detector import LtDetector
from streams.core.drift.lt_ref.lt_ref_detector import LtRefDetector

WARM_UP = 230
"""Rows before the change: enough for the largest reference, and for `lt` to decide."""

WITHIN = 72
"""Rows after the change within which an alarm counts."""


def online(
    original: Recording, changed: Mapping[str, Sequence[ProbeRow]], quiet_rows: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return by detector: the rows until the alarm for each variant (None without one), and false alarms.

    Rows are drawn from the recorded ones with repetition; every detector sees the same.
    """
    chance = np.random.default_rng([seed, 99])
    quiet = _drawn(original.rows, WARM_UP + quiet_rows, chance)
    after = {
        # Seeded by its name, so that a variant's rows do not depend on which others are recorded.
        name: _drawn(rows, WITHIN, np.random.default_rng([seed, 99, zlib.crc32(name.encode())]))
        for name, rows in changed.items()
    }
    return {name: _run(detector, quiet, after) for name, detector in _detectors().items()}


def _detectors() -> dict[str, Detector]:
    return {"lt": LtDetector(), "lt without its floor": LtDetector(floor=0.0), "lt-ref": LtRefDetector()}


def _run(detector: Detector, quiet: Sequence[ProbeRow], after: Mapping[str, Sequence[ProbeRow]]) -> dict[str, Any]:
    for row in quiet[:WARM_UP]:
        detector.update(row)
    warm = deepcopy(detector)
    false = sum(isinstance(detector.update(row), Alarm) for row in quiet[WARM_UP:])
    delays: dict[str, int | None] = {}
    for variant, rows in after.items():
        fresh = deepcopy(warm)
        alarms = (place for place, row in enumerate(rows, start=1) if isinstance(fresh.update(row), Alarm))
        delays[variant] = next(alarms, None)
    return {"false_alarms": false, "quiet_rows": len(quiet) - WARM_UP, "within": WITHIN, "delays": delays}


def _drawn(rows: Sequence[ProbeRow], count: int, chance: np.random.Generator) -> list[ProbeRow]:
    return [rows[place] for place in chance.integers(0, len(rows), count)]

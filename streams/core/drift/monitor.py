"""Everything that watches one endpoint: the reading of its rows, the watchers of its contract, and a detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from streams.core.drift.contract_watch import ContractWatcher, MissingWatcher
from streams.core.drift.detector import DETECTORS, Detector, detector_type
from streams.core.drift.judgement import Alarm, Judgement
from streams.core.drift.row import At, ProbeRow, Reason, Unusable


@dataclass(frozen=True, slots=True)
class Observation:
    """What one row showed: its time, the detector's judgement, all alarms."""

    at: At
    judgement: Judgement
    alarms: tuple[Alarm, ...]


class EndpointMonitor:
    """Takes one endpoint's probe rows in order; nothing that a row may hold raises.

    ``unusable`` counts the rows that were no samples, by reason. A row whose time lies before that of the usable row
    before it is no sample (``clock_back``): after a clock was set back, one is lost.
    """

    def __init__(self, detector: str, detectors: Mapping[str, type[Detector]] = DETECTORS) -> None:
        self.unusable: Counter[Reason] = Counter()
        self.detector = detector
        self._detector = detector_type(detector, detectors)()
        self._contract = ContractWatcher()
        self._missing = MissingWatcher()
        self._time: float | None = None

    def update(self, row: ProbeRow | Unusable) -> Observation:
        """Take the next row."""
        row = self._in_time(row)
        alarms = self._missing.update(row) + self._contract.update(row)
        judgement: Judgement = row if isinstance(row, Unusable) else self._detector.update(row)
        if isinstance(judgement, Unusable):
            self.unusable[judgement.reason] += 1
        elif isinstance(judgement, Alarm):
            alarms.append(judgement)
        return Observation(row.facts.at, judgement, tuple(alarms))

    def _in_time(self, row: ProbeRow | Unusable) -> ProbeRow | Unusable:
        if isinstance(row, Unusable) or row.facts.time is None:
            return row
        # Compared with the row before, not with the latest of all: one row from the future must not shut out the rest.
        previous, self._time = self._time, row.facts.time
        return Unusable(Reason.CLOCK_BACK, row.facts) if previous is not None and row.facts.time < previous else row

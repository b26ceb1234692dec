"""Watches the probes of every endpoint: one series for what was asked in the same way, each probe once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas import Probe
from streams.core.drift import DETECTORS, MOVEMENTS, Alarm, EndpointMonitor, ProbeRow, Reason, Unusable
from streams.core.drift.recent_ids import RecentIds

MAX_SERIES: Final = 2_000
"""The number of series that are followed at once; the one not heard of for longest is forgotten. Each takes up to half a
megabyte for every reference that its detector remembers."""


class DriftLimits(BaseModel):
    """How probes are judged: the ``drift`` section of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detectors: Annotated[tuple[str, ...], Field(min_length=1)] = ("lt-ref",)
    replay_rows: Annotated[int, Field(ge=1)] = 100_000
    """How far back the topic is read after a restart or rebalance without a kept state, in probes of a partition."""
    state_dir: Annotated[str, Field(min_length=1)] | None = "hedgerow-drift"
    """Folder of kept states, from which a restart goes on; none: what is remembered is read from the topic."""
    together_s: Annotated[float, Field(gt=0, le=90 * 86_400)] = 86_400.0
    """A change of the model and one of the traffic within this time, in seconds, are told as one."""

    @field_validator("detectors")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in DETECTORS]:
            raise ValueError(f"there is no detector {unknown[0]!r}; choose from {', '.join(sorted(DETECTORS))}")
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm and the detector that raised it; the watchers of a contract speak through the first detector."""

    detector: str
    alarm: Alarm


@dataclass(frozen=True, slots=True)
class Seen:
    """What one probe showed."""

    probe: Probe
    raised: tuple[Raised, ...] = ()
    unusable: Reason | None = None
    """Why the probe is no sample, if it is none."""
    repeated: bool = False
    """Whether a probe with this id was seen before; it then counts for nothing."""


class ProbeWatch:
    """Takes probes in the order of their topic and says of each what it shows. In bounded memory; no probe raises.

    Raises SettingsError for a detector that does not exist or whose package is missing.

    Everything that it knows follows from the probes that it was given, so that a restart is a replay.
    """

    def __init__(self, detectors: Sequence[str]) -> None:
        self._detectors = tuple(detectors)
        self._series: OrderedDict[tuple[str | None, str | None], _Series] = OrderedDict()
        _Series(self._detectors)  # a detector whose package is missing stops a worker at its start, not at a probe

    @property
    def series(self) -> int:
        """How many series are watched."""
        return len(self._series)

    def update(self, probe: Probe) -> Seen:
        """Take the next probe."""
        row = ProbeRow.of(probe)
        key = row.facts.endpoint, row.facts.asked
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(self._detectors)
            if len(self._series) > MAX_SERIES:
                self._series.popitem(last=False)
        self._series.move_to_end(key)
        return series.update(probe, row)


class _Series:
    def __init__(self, detectors: Sequence[str]) -> None:
        self._monitors = tuple(EndpointMonitor(detector) for detector in detectors)
        self._ids = RecentIds()

    def update(self, probe: Probe, row: ProbeRow | Unusable) -> Seen:
        if self._ids.repeated(probe.probe_id):
            return Seen(probe, repeated=True)
        seen = [(monitor.detector, monitor.update(row)) for monitor in self._monitors]
        raised = tuple(
            Raised(detector, alarm)
            for place, (detector, observation) in enumerate(seen)
            for alarm in observation.alarms
            # Every monitor has separate watchers for what is not a statistical matter, and they say the same.
            if place == 0 or alarm.kind in MOVEMENTS
        )
        judgement = seen[0][1].judgement
        return Seen(probe, raised, judgement.reason if isinstance(judgement, Unusable) else None)

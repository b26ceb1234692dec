"""Runs stored probe rows through a detector, or two files of them through a two-sample test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NotRequired, TypedDict

from streams.core.drift.detector import detector_type
from streams.core.drift.lt.permutation_test import permutation_tests
from streams.core.drift.monitor import EndpointMonitor, Observation
from streams.core.drift.recent_ids import RecentIds
from streams.core.drift.row import At, ProbeRow, Reason, Unusable
from streams.errors import SettingsError

MAX_WEIGHTS: Final = 20_000_000
"""Rows times permutations of a two-sample test: some 500 MB while the permutations are drawn."""


class AlarmRecord(TypedDict):
    """One alarm as a JSON object; ``index`` is the row's position among all rows of its endpoint, from 0.

    ``matched`` holds the times ``first`` and ``last`` of the earlier reference that the rows are like, if there is one.
    ``swaps`` are the times of the swaps between two models that alternate.
    """

    endpoint: str
    index: int
    at: At
    detector: str
    kind: str
    statistic: float
    score: float
    matched: NotRequired[dict[str, At]]
    swaps: NotRequired[list[At]]


class TwoSampleRecord(TypedDict):
    """The two-sample test as a JSON object; ``tokens`` is the size of the union, ``n_a`` and ``n_b`` the usable rows."""

    statistic: float
    p_value: float
    n_a: int
    n_b: int
    tokens: int


class Replay:
    """Feeds rows to monitors as they come, as the drift agent does: what was asked otherwise is another series.

    ``rows`` counts all rows by endpoint, ``repeated`` those that were seen before, which count for nothing else, and
    ``unnamed`` those that name no endpoint.
    """

    def __init__(self, detector: str) -> None:
        detector_type(detector)
        self.detector = detector
        self.rows: Counter[str] = Counter()
        self.repeated = self.unnamed = 0
        self._series: dict[tuple[str, str | None], tuple[EndpointMonitor, RecentIds]] = {}

    @property
    def unusable(self) -> Counter[Reason]:
        """Rows of all endpoints that were no samples, by reason."""
        return sum((monitor.unusable for monitor, _ in self._series.values()), Counter())

    def feed(self, row: ProbeRow | Unusable) -> Iterator[AlarmRecord]:
        """The alarms that one row raises."""
        observation, endpoint = self.observe(row), row.facts.endpoint
        if observation is None or endpoint is None:
            return
        for alarm in observation.alarms:
            record = AlarmRecord(
                endpoint=endpoint,
                index=self.rows[endpoint] - 1,
                at=observation.at,
                detector=self.detector,
                kind=alarm.kind.value,
                statistic=alarm.statistic,
                score=alarm.score,
            )
            if alarm.matched:
                record["matched"] = {"first": alarm.matched.first, "last": alarm.matched.last}
            if alarm.swaps:
                record["swaps"] = list(alarm.swaps)
            yield record

    def observe(self, row: ProbeRow | Unusable) -> Observation | None:
        """What one row shows; None if it names no endpoint or came before."""
        endpoint = row.facts.endpoint
        if endpoint is None:
            self.unnamed += 1
            return None
        self.rows[endpoint] += 1
        key = endpoint, row.facts.asked
        if key not in self._series:
            self._series[key] = EndpointMonitor(self.detector), RecentIds()
        monitor, ids = self._series[key]
        if row.facts.probe_id is not None and ids.repeated(row.facts.probe_id):
            self.repeated += 1
            return None
        return monitor.update(row)


def replay(rows: Iterable[ProbeRow | Unusable], detector: str) -> Iterator[AlarmRecord]:
    """The alarms of stored rows, each endpoint's rows in the order given; ``SettingsError`` for an unknown detector."""
    run = Replay(detector)
    for row in rows:
        yield from run.feed(row)


def two_sample_test(
    rows_a: Iterable[ProbeRow | Unusable], rows_b: Iterable[ProbeRow | Unusable], permutations: int, seed: int
) -> TwoSampleRecord:
    """The permutation test between two sets of rows; unusable rows are left out.

    ``SettingsError`` if a set has no usable row, ``permutations`` is below 1, or the rows times the permutations do
    not fit into memory.
    """
    if permutations < 1:
        raise SettingsError(f"a permutation test needs at least 1 permutation, not {permutations}")
    a, b = ([row for row in rows if isinstance(row, ProbeRow)] for rows in (rows_a, rows_b))
    for name, sample in (("first", a), ("second", b)):
        if not sample:
            raise SettingsError(f"the {name} set of probe rows has no usable row: there is nothing to compare")
    if permutations * (len(a) + len(b)) > MAX_WEIGHTS:
        raise SettingsError(
            f"{permutations} permutations of {len(a) + len(b)} rows do not fit into memory: "
            f"at most {MAX_WEIGHTS // (len(a) + len(b))} do"
        )
    [result] = permutation_tests([(a, b)], permutations, seed)
    return TwoSampleRecord(
        statistic=result.statistic, p_value=result.p_value, n_a=len(a), n_b=len(b), tokens=result.tokens
    )

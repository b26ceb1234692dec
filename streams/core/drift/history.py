"""What an endpoint's probes showed over time: its likeliest tokens, the detector's statistic, the alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from streams.core.drift.judgement import Alarm, Kind, NotEnough, Quiet, Span
from streams.core.drift.replay import Replay
from streams.core.drift.row import At, ProbeFacts, ProbeRow, Unusable


class Judged(NamedTuple):
    """One row that the detector judged.

    ``statistic`` is above ``threshold`` if it alarmed, and without an alarm just after one, or at a swap that is known.
    """

    row: int
    statistic: float
    threshold: float


Rows = tuple[int, int]
"""First and last row of a run."""


class Alarmed(NamedTuple):
    """One alarm of one row, and the rows that it speaks of; None if it speaks of none, or they have no times."""

    row: int
    kind: Kind
    before: Rows | None = None
    """The rows of the reference."""
    after: Rows | None = None
    """The rows since the change."""
    matched: Rows | None = None
    """The rows of an earlier reference, which those since the change are like."""


@dataclass(slots=True)
class History:
    """The rows of one endpoint, numbered from 0; rows that are no samples count."""

    endpoint: str
    seconds: list[float | None] = field(default_factory=list)
    """Each row's Unix time, None if it has none."""
    samples: int = 0
    """Rows that are samples."""
    tokens: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """The tokens that are listed in most rows, likeliest first: the rows that list each, with its logprob in nats."""
    judged: list[Judged] = field(default_factory=list)
    learning: list[Rows] = field(default_factory=list)
    """First and last row of each run in which the detector had not enough samples to judge."""
    alarms: list[Alarmed] = field(default_factory=list)
    _first: dict[At, int] = field(default_factory=dict)
    _last: dict[At, int] = field(default_factory=dict)

    def add_row(self, facts: ProbeFacts) -> int:
        """Take note of the next row and return its number."""
        row = len(self.seconds)
        self.seconds.append(facts.seconds)
        if facts.at is not None:
            self._first.setdefault(facts.at, row)
            self._last[facts.at] = row
        return row

    def add_alarm(self, row: int, alarm: Alarm) -> None:
        """Take note of an alarm of this row."""
        spans = (self._rows(span) for span in (alarm.before, alarm.after, alarm.matched))
        self.alarms.append(Alarmed(row, alarm.kind, *spans))

    def _rows(self, span: Span | None) -> Rows | None:
        if span is None or span.first is None or span.last is None:
            return None
        return self._first[span.first], self._last[span.last]


def histories(
    rows: Iterable[ProbeRow | Unusable], detector: str, *, endpoint: str | None = None, tokens: int = 8
) -> list[History]:
    """Return the history of each endpoint, or of the one that is named, in the order in which they first occur.

    Raises SettingsError for an unknown detector.
    """
    replay = Replay(detector)
    found: dict[str, tuple[History, list[tuple[int, ProbeRow]]]] = {}
    for row in rows:
        observation, name = replay.observe(row), row.facts.endpoint
        if name is None or endpoint not in {None, name}:
            continue
        history, samples = found.setdefault(name, (History(name), []))
        place = history.add_row(row.facts)
        if isinstance(row, ProbeRow):
            samples.append((place, row))
        if observation is None:
            continue
        for alarm in observation.alarms:
            history.add_alarm(place, alarm)
        judgement = observation.judgement
        if isinstance(judgement, Quiet | Alarm):
            history.judged.append(Judged(place, judgement.statistic, judgement.threshold))
        elif isinstance(judgement, NotEnough):
            _learn(history, place)
    for history, samples in found.values():
        history.samples = len(samples)
        history.tokens = _tokens(samples, tokens)
    return [history for history, _ in found.values()]


def _learn(history: History, row: int) -> None:
    """Lengthen the last run of rows without a judgement, or begin another after a row that was judged."""
    runs = history.learning
    if runs and (not history.judged or history.judged[-1].row < runs[-1][0]):
        runs[-1] = (runs[-1][0], row)
    else:
        runs.append((row, row))


def _tokens(samples: list[tuple[int, ProbeRow]], most: int) -> dict[str, list[tuple[int, float]]]:
    listed = Counter(token for _, row in samples for token in islice(row.tokens, most))
    return {
        token: [(place, row.logprobs[row.tokens.index(token)]) for place, row in samples if token in row.tokens]
        for token, _ in listed.most_common(most)
    }

"""The published rule, made causal: alarms where a plain reading of it says, and nowhere else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streams.core.drift.judgement import Alarm, Judgement, NotEnough, Quiet
from streams.core.drift.lt.lt_detector import LtDetector, lt_statistic
from streams.core.drift.row import ProbeRow
from streams.sandbox.simulated_probes import Endpoint, usable_rows


def judgements(detector: LtDetector, rows: list[ProbeRow]) -> list[Judgement]:
    return [detector.update(row) for row in rows]


def alarms(found: list[Judgement]) -> list[int]:
    return [index for index, judgement in enumerate(found) if isinstance(judgement, Alarm)]


def naive_alarms(rows: list[ProbeRow], floor: float) -> list[int]:
    """The rule over the whole series at once, from its text; then what a causal reader would have seen of it."""
    s = [lt_statistic(rows[i - 24 : i], rows[i : i + 24]) for i in range(24, len(rows) - 23)]
    holds = []
    for j in range(148, len(s)):
        baseline = s[j - 148 : j - 48]
        mean, std = np.mean(baseline), np.std(baseline)
        z = (s[j] - mean) / std if std > 0 else (np.inf if s[j] > mean else 0.0)
        if z > 12 and s[j] > floor:
            holds.append(j + 47)
    found: list[int] = []
    for row in holds:
        if not found or row > found[-1] + 48:
            found.append(row)
    return found


JUMPS = [Endpoint(rho=rho, change_at=at, change_rms=rms) for rho, at, rms in ((0.0, 200, 2.5), (0.8, 260, 4.0))]


@pytest.mark.parametrize(
    "endpoint", [*JUMPS, Endpoint(rho=0.5, missing=0.05, errors=0.05, change_at=280, change_rms=3.0)]
)
@pytest.mark.parametrize("floor", [1.0, 0.0])
def test_alarms_where_a_plain_reading_of_the_rule_does(endpoint: Endpoint, floor: float) -> None:
    rows = usable_rows(endpoint, 420, seed=11)
    expected = naive_alarms(rows, floor)
    assert expected
    assert alarms(judgements(LtDetector(floor), rows)) == expected


def test_the_first_decision_is_at_the_149th_value_of_the_statistic() -> None:
    found = judgements(LtDetector(), usable_rows(Endpoint(), 200, seed=1))
    assert found[0] == NotEnough(1, 196)
    assert found[194] == NotEnough(195, 196)
    assert isinstance(found[195], Quiet)


def test_the_statistic_and_its_score_are_those_of_the_windows() -> None:
    rows = usable_rows(Endpoint(sigma=0.1), 196, seed=2)
    last = judgements(LtDetector(), rows)[-1]
    s = [lt_statistic(rows[i - 24 : i], rows[i : i + 24]) for i in range(24, 173)]
    assert isinstance(last, Quiet)
    assert last.statistic == pytest.approx(s[-1], abs=1e-9)
    assert last.score == pytest.approx((s[-1] - np.mean(s[:100])) / np.std(s[:100]), rel=1e-6)


def test_one_change_is_one_alarm_and_names_what_moved() -> None:
    rows = usable_rows(Endpoint(change_at=250, change_rms=3.0), 400, seed=5)
    found = [judgement for judgement in judgements(LtDetector(), rows) if isinstance(judgement, Alarm)]
    assert len(found) == 1
    alarm = found[0]
    assert alarm.kind.value == "change"
    assert alarm.statistic > alarm.threshold >= 1.0
    assert alarm.before is not None
    assert alarm.after is not None
    assert (alarm.before.n, alarm.after.n) == (24, 24)
    assert alarm.before.first < alarm.before.last < alarm.after.first < alarm.after.last  # type: ignore[operator]
    shifts = [abs(moved.after - moved.before) for moved in alarm.moved]
    assert shifts == sorted(shifts, reverse=True)
    assert shifts[0] > 1.0


def test_a_constant_endpoint_that_changes_is_infinitely_far_and_still_a_number() -> None:
    rows = usable_rows(Endpoint(sigma=0.0, change_at=220, change_rms=3.0), 300, seed=5)
    found = [judgement for judgement in judgements(LtDetector(), rows) if isinstance(judgement, Alarm)]
    assert len(found) == 1
    assert json.loads(json.dumps(found[0].score)) == 1e9
    quiet = judgements(LtDetector(floor=0.0), usable_rows(Endpoint(sigma=0.0), 260, seed=5))
    assert alarms(quiet) == []


def test_a_change_below_the_floor_is_quiet_with_it_and_an_alarm_without() -> None:
    rows = usable_rows(Endpoint(sigma=0.005, rho=0.0, change_at=230, change_rms=0.3), 300, seed=1)
    assert alarms(judgements(LtDetector(), rows)) == []
    assert alarms(judgements(LtDetector(floor=0.0), rows)) != []


def test_a_shrinking_k_is_no_change() -> None:
    for seed in range(4):
        rows = usable_rows(Endpoint(k_at=230), 400, seed)
        assert alarms(judgements(LtDetector(floor=0.0), rows)) == []

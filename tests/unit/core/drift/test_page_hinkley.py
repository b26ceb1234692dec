"""River's Page-Hinkley test on the LT series: the library's own alarms, our cool-down, and restarts."""

from __future__ import annotations

import pytest
from river.drift import PageHinkley

from streams.core.drift.judgement import Alarm, Judgement, Kind, NotEnough, Quiet
from streams.core.drift.lt.lt_detector import COOL_DOWN, lt_statistic
from streams.core.drift.page_hinkley import ALLOWANCE, THRESHOLD, WARM_UP, PageHinkleyDetector
from streams.core.drift.row import ProbeRow
from streams.sandbox.simulated_probes import Endpoint, usable_rows

CHANGED = Endpoint(change_at=200, change_rms=0.3)


def judgements(detector: PageHinkleyDetector, rows: list[ProbeRow]) -> list[Judgement]:
    return [detector.update(row) for row in rows]


def alarms(found: list[Judgement]) -> list[int]:
    return [index for index, judgement in enumerate(found) if isinstance(judgement, Alarm)]


@pytest.mark.parametrize("seed", range(3))
def test_the_first_alarm_is_that_of_the_library_on_the_batch_statistic(seed: int) -> None:
    rows = usable_rows(CHANGED, 300, seed)
    test = PageHinkley(min_instances=WARM_UP, delta=ALLOWANCE, threshold=THRESHOLD, mode="up")
    for end in range(48, len(rows)):
        test.update(lt_statistic(rows[end - 48 : end - 24], rows[end - 24 : end]))
        if test.drift_detected:
            break
    found = judgements(PageHinkleyDetector(), rows)
    assert alarms(found) == [end - 1]
    alarm = found[end - 1]
    assert isinstance(alarm, Alarm)
    assert alarm.kind is Kind.CHANGE
    assert alarm.statistic == pytest.approx(test._sum_increase - test._min_increase)
    assert alarm.statistic == alarm.score * THRESHOLD > alarm.threshold == THRESHOLD
    assert alarm.after is not None
    assert alarm.after.n == 24


def test_a_decision_needs_30_values_of_the_series() -> None:
    found = judgements(PageHinkleyDetector(), usable_rows(Endpoint(), 78, seed=1))
    assert found[:76] == [NotEnough(n, 77) for n in range(1, 77)]
    assert isinstance(found[76], Quiet)


def test_a_second_change_is_found_after_the_cool_down() -> None:
    rows = usable_rows(CHANGED, 400, seed=1) + usable_rows(Endpoint(change_at=0, change_rms=0.9), 100, seed=1)
    found = judgements(PageHinkleyDetector(), rows)
    first, second = alarms(found)
    assert 200 <= first < 240
    assert 400 <= second < 440
    assert {
        (judgement.statistic, judgement.score)
        for judgement in found[first + 1 : first + 1 + COOL_DOWN]
        if isinstance(judgement, Quiet)
    } == {(0.0, 0.0)}


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_a_quiet_endpoint_stays_quiet(rho: float) -> None:
    assert alarms(judgements(PageHinkleyDetector(), usable_rows(Endpoint(rho=rho), 600, seed=2))) == []

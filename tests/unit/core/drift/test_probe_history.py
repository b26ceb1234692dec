"""What an endpoint's probes showed over time, as values to draw."""

from __future__ import annotations

import pytest

from streams.core.drift import Kind, read_row
from streams.core.drift.history import Alarmed, histories
from streams.errors import SettingsError
from streams.sandbox.simulated_probes import Endpoint, probe_rows

JUMP = probe_rows(Endpoint(change_at=150, change_rms=2.0, errors=0.02), 300, 1, "one")


def test_each_endpoint_has_its_rows_tokens_and_alarms() -> None:
    rows = JUMP + probe_rows(Endpoint(), 50, 2, "two")
    one, two = histories(map(read_row, rows), "lt-ref", tokens=3)
    assert (one.endpoint, two.endpoint) == ("one", "two")
    assert one.seconds == [3600 * row for row in range(300)]
    assert one.samples == sum(row["logprobs"] is not None for row in JUMP) < 300
    assert len(one.tokens) == len(two.tokens) == 3
    for token, points in one.tokens.items():
        assert points == [
            (at, row["logprobs"][token]) for at, row in enumerate(JUMP) if token in (row["logprobs"] or {})
        ]
    [alarm] = one.alarms
    assert alarm == Alarmed(alarm.row, Kind.CHANGE, alarm.before, alarm.after)
    assert 150 <= alarm.row < 160
    assert alarm.before is not None
    assert alarm.before[0] == 0
    assert alarm.before[1] < 150
    assert alarm.after == (150, alarm.row)
    assert two.alarms == []


def test_a_return_has_the_rows_of_the_reference_that_is_back_and_rows_without_times_have_none() -> None:
    rows = probe_rows(Endpoint(rho=0.0, change_at=120, change_rms=1.0, swap_every=30), 160, 1, "one")
    [one] = histories(map(read_row, rows), "lt-ref")
    change, returned = one.alarms
    assert returned.kind is Kind.RETURNED
    assert returned.matched is not None
    assert returned.matched[0] == 0
    assert returned.after == (150, returned.row)
    [other] = histories([read_row(row | {"at": None}) for row in rows], "lt-ref")
    assert [alarm[:2] for alarm in other.alarms] == [change[:2], returned[:2]]
    assert {rows for alarm in other.alarms for rows in alarm[2:]} == {None}


def test_the_statistic_is_above_its_threshold_at_the_alarm_and_nowhere_before_it() -> None:
    [one] = histories(map(read_row, JUMP), "lt-ref")
    [alarm] = one.alarms
    above = [judged.row for judged in one.judged if judged.statistic > judged.threshold]
    assert above[0] == alarm.row
    judged = {judged.row for judged in one.judged}
    assert not any(first <= row <= last for row in judged for first, last in one.learning)


@pytest.mark.parametrize("detector", ["lt", "lt-ref", "river-page-hinkley"])
def test_a_detector_learns_before_it_judges(detector: str) -> None:
    [one] = histories(map(read_row, probe_rows(Endpoint(), 220, 1)), detector)
    [(first, last)] = one.learning
    assert (first, one.judged[0].row) == (0, last + 1)
    assert all(judged.threshold > 0 for judged in one.judged)


def test_a_detector_that_learns_again_after_a_change_has_a_second_run() -> None:
    [one] = histories(map(read_row, JUMP), "river-page-hinkley")
    (_, first_end), (second, _) = one.learning
    assert first_end < one.alarms[0].row < second


def test_the_reference_detector_goes_on_judging_after_a_change() -> None:
    [one] = histories(map(read_row, JUMP), "lt-ref")
    assert len(one.alarms) == len(one.learning) == 1


def test_one_endpoint_alone_and_one_that_is_not_there() -> None:
    rows = [read_row(row) for row in JUMP + probe_rows(Endpoint(), 30, 2, "two")]
    assert [one.endpoint for one in histories(rows, "lt-ref", endpoint="two")] == ["two"]
    assert histories(rows, "lt-ref", endpoint="three") == []
    with pytest.raises(SettingsError, match="there is no detector"):
        histories(rows, "none")

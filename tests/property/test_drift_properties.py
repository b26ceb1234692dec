"""Whatever a row holds, it is a sample or a named reason, and the monitor goes on."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.core.drift import DETECTORS, EndpointMonitor, Kind, ProbeRow, Unusable, read_row
from streams.core.drift.lt.lt_detector import lt_statistic
from streams.core.drift.lt.permutation_test import permutation_tests
from streams.core.drift.lt.sliding_statistic import SlidingStatistic
from streams.sandbox.simulated_probes import Endpoint, probe_rows

seeded = settings(deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), -9999.0, 1e-7, -0.0])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["2026-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)
odd_rows = values | st.fixed_dictionaries(
    {},
    optional={
        "endpoint": values,
        "at": values,
        "logprobs": values | st.dictionaries(st.text(max_size=3), scalars, max_size=6),
        "error": values,
        "model": values,
        "fingerprint": values,
        "at_ms": values,
        "model_returned": values,
        "provider": values,
        "cost_usd": values,
    },
)
logprobs = st.dictionaries(st.sampled_from("abcdefghij"), st.floats(-50.0, 0.0), min_size=1, max_size=8)
good_rows = st.builds(lambda listed: read_row({"logprobs": {"z": -60.0, **listed}}), logprobs)


@seeded
@given(odd_rows)
def test_any_value_is_read_as_a_sample_or_a_reason(raw: Any) -> None:
    row = read_row(raw)
    if isinstance(row, Unusable):
        assert row.reason.value
    else:
        assert 1 <= row.k == len(row.logprobs) == len(set(row.tokens))
        assert list(row.logprobs) == sorted(row.logprobs, reverse=True)
        assert all(-100.0 < logprob <= 1e-6 for logprob in row.logprobs)
    assert row.facts.time is None or math.isfinite(row.facts.time)
    assert row.facts.cost_usd is None or 0 <= row.facts.cost_usd < math.inf


@pytest.mark.parametrize("detector", sorted(DETECTORS))
@seeded
@given(st.lists(odd_rows, max_size=30))
def test_no_row_stops_a_monitor_and_each_is_counted(detector: str, rows: list[Any]) -> None:
    monitor = EndpointMonitor(detector)
    observed = [monitor.update(read_row(row)) for row in rows]
    assert sum(monitor.unusable.values()) == sum(isinstance(one.judgement, Unusable) for one in observed)


@pytest.fixture(scope="module")
def trained() -> dict[str, EndpointMonitor]:
    """A monitor with each detector after 250 quiet rows."""
    monitors = {}
    for detector in DETECTORS:
        monitor = EndpointMonitor(detector)
        for row in probe_rows(Endpoint(rho=0.0), 250, seed=1):
            monitor.update(read_row(row))
        monitors[detector] = monitor
    return monitors


@pytest.mark.parametrize("detector", sorted(DETECTORS))
@seeded
@given(odd=st.lists(st.tuples(st.integers(0, 20), odd_rows), max_size=8))
def test_odd_rows_between_quiet_ones_are_never_a_change(
    trained: dict[str, EndpointMonitor], detector: str, odd: list[tuple[int, Any]]
) -> None:
    """One or two that are well formed may lie between any two rows: they are outliers, and no change."""
    monitor = deepcopy(trained[detector])
    places = {place: raw for place, raw in odd if not isinstance(read_row(raw), ProbeRow)}
    found = []
    for index, row in enumerate(probe_rows(Endpoint(rho=0.0), 271, seed=1)[250:]):
        if index in places:
            found += monitor.update(read_row(places[index])).alarms
        found += monitor.update(read_row(row)).alarms
    assert not [alarm for alarm in found if alarm.kind in {Kind.CHANGE, Kind.DRIFT, Kind.K_CHANGE}]


@seeded
@given(st.lists(good_rows, min_size=9, max_size=40), st.integers(1, 4))
def test_the_sliding_statistic_equals_the_batch_at_every_row(rows: list[Any], width: int) -> None:
    sliding = SlidingStatistic(width)
    for end, row in enumerate(rows, start=1):
        sliding.push(row)
        if sliding.full:
            batch = lt_statistic(rows[end - 2 * width : end - width], rows[end - width : end])
            assert sliding.value == pytest.approx(batch, abs=1e-9)


@seeded
@given(st.lists(good_rows, min_size=2, max_size=12), st.data())
def test_the_two_sample_test_is_symmetric_and_p_is_a_probability(rows: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(rows) - 1))
    a, b = rows[:cut], rows[cut:]
    [there, back] = permutation_tests([(a, b), (b, a)], permutations=19, seed=1)
    assert there.statistic == pytest.approx(back.statistic, abs=1e-12)
    assert there.tokens == back.tokens
    assert 1 / 20 <= there.p_value <= 1.0

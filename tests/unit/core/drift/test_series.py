"""Windows of probes: which belong together, which count, and that they depend on nothing but the probes."""

from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from schemas import Probe
from streams.core.drift import Kind, Reason, recent_ids, series
from streams.core.drift.series import DriftLimits, ProbeWatch
from streams.sandbox.simulated_probes import Endpoint
from tests.support.probes import probes

CHANGED = Endpoint(change_at=130, change_rms=1.0)


def alarms(watch: ProbeWatch, given: list[Probe]) -> list[tuple[str, str, Kind]]:
    return [
        (probe.probe_id, raised.detector, raised.alarm.kind) for probe in given for raised in watch.update(probe).raised
    ]


def test_a_change_is_one_alarm_near_it_and_a_quiet_endpoint_is_none() -> None:
    given = probes(CHANGED, 200, seed=1)
    found = alarms(ProbeWatch(["lt-ref"]), given)
    assert len(found) == 1
    assert found[0][1:] == ("lt-ref", Kind.CHANGE)
    assert found[0][0] in {probe.probe_id for probe in given[130:140]}
    assert alarms(ProbeWatch(["lt-ref"]), probes(Endpoint(), 200, seed=1)) == []


def test_a_probe_counts_once_however_often_it_comes() -> None:
    given = probes(CHANGED, 200, seed=1)
    watch = ProbeWatch(["lt-ref"])
    twice = [watch.update(probe) for probe in given for _ in range(2)]
    assert [seen.repeated for seen in twice] == [False, True] * len(given)
    assert [seen.raised for seen in twice if seen.raised] == [
        seen.raised for seen in map(ProbeWatch(["lt-ref"]).update, given) if seen.raised
    ]


@pytest.mark.parametrize(
    "fields", [{"model_asked": "gpt-4o"}, {"prompt": "y"}, {"k_asked": 5}, {"temperature": 1.0}, {"endpoint": "other"}]
)
def test_what_was_asked_otherwise_is_another_series(fields: dict[str, object]) -> None:
    """The same rows, every other one asked otherwise: no series sees a change that lies between them."""
    quiet, changed = probes(Endpoint(), 300, seed=1), probes(Endpoint(), 300, seed=2)
    watch = ProbeWatch(["lt-ref"])
    mixed = itertools.chain.from_iterable(zip(quiet, [p.model_copy(update=fields) for p in changed], strict=True))
    assert not any(seen.raised for seen in map(watch.update, mixed))
    assert watch.series == 2


def test_interleaved_endpoints_do_not_touch_each_other() -> None:
    one, two = probes(CHANGED, 200, seed=1, name="one"), probes(Endpoint(), 200, seed=2, name="two")
    apart = alarms(ProbeWatch(["lt-ref"]), one)
    assert alarms(ProbeWatch(["lt-ref"]), [p for pair in zip(one, two, strict=True) for p in pair]) == apart


def test_several_detectors_speak_for_themselves_and_the_watchers_once() -> None:
    given = probes(Endpoint(change_at=230, change_rms=3.0, k_at=230), 300, seed=1)
    found = alarms(ProbeWatch(["lt-ref", "lt"]), given)
    assert [(detector, kind) for _, detector, kind in found if kind is Kind.K_CHANGE] == [("lt-ref", Kind.K_CHANGE)]
    assert {detector for _, detector, kind in found if kind is Kind.CHANGE} <= {"lt-ref", "lt"}


@pytest.mark.parametrize(
    ("logprobs", "error", "at_ms", "reason"),
    [
        ({"a": 0.7, "b": -1.0}, None, None, Reason.POSITIVE),
        ({str(number): -9.0 for number in range(10_000)}, None, None, Reason.TOO_MANY_TOKENS),
        ({"a": -0.5, "b": -1.0}, None, 0, Reason.CLOCK_BACK),
        ({"a": -9999.0}, None, None, Reason.EMPTY),
        ({}, None, None, Reason.EMPTY),
        (None, None, None, Reason.MISSING),
        ({"a": -0.5}, "timeout: no answer", None, Reason.ERROR),
    ],
)
def test_bad_probes_are_named_and_change_nothing(
    logprobs: dict[str, float] | None, error: str | None, at_ms: int | None, reason: Reason
) -> None:
    given = probes(CHANGED, 200, seed=1)
    bad = given[0].model_copy(update={"probe_id": "bad", "logprobs": logprobs, "error": error})
    watch, found = ProbeWatch(["lt-ref"]), []
    for index, probe in enumerate(given):
        if index == 60:
            seen = watch.update(bad.model_copy(update={"at_ms": probe.at_ms if at_ms is None else at_ms}))
            assert (seen.unusable, seen.raised) == (reason, ())
        found += [raised.alarm.kind for raised in watch.update(probe).raised]
    assert found == [Kind.CHANGE]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MAX_SERIES", 3)
    monkeypatch.setattr(recent_ids, "REMEMBERED", 2)
    watch = ProbeWatch(["lt"])
    (first, *_) = probes(Endpoint(), 1, seed=1)
    for number in range(10):
        watch.update(first.model_copy(update={"endpoint": f"never seen {number}"}))
    assert watch.series == 3
    ids = [first.model_copy(update={"probe_id": str(number)}) for number in (1, 2, 3, 1, 3)]
    assert [watch.update(probe).repeated for probe in ids] == [False, False, False, False, True]


def test_settings_refuse_a_detector_that_is_not_there() -> None:
    assert DriftLimits(detectors=("lt", "lt-ref", "lt")).detectors == ("lt", "lt-ref")
    with pytest.raises(ValidationError, match="there is no detector 'psi'; choose from lt, lt-ref"):
        DriftLimits(detectors=("psi",))

"""Traffic: tests against a reference implementation, alarms on each measure, and quiet where nothing moves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from scipy import stats

from schemas import Alert, Classification, Reason
from streams.agents.traffic import TrafficHandler
from streams.core.drift import traffic as module
from streams.core.drift.traffic import Sighting, TrafficLimits, TrafficWatch, compare
from streams.core.policy.policy import Policy
from tests.support.messages import attempt, call, scored, ticket, unscorable

LIMITS = TrafficLimits(reference=400, window=200)
Draw = Callable[[random.Random], Sighting]


def usual(rng: random.Random, **changes: object) -> Sighting:
    fields: dict[str, object] = {
        "input_length": round(rng.lognormvariate(4, 0.5)),
        "confidence": rng.betavariate(8, 2),
        "entropy": rng.gammavariate(2, 0.2),
        "label": rng.choices(["refund", "shipping", "account", None], [5, 3, 2, 0.1])[0],
        "escalated": rng.random() < 0.2,
    }
    return Sighting(**(fields | changes))  # type: ignore[arg-type]


MOVES: dict[str, Draw] = {
    "input_length": lambda rng: usual(rng, input_length=round(rng.lognormvariate(4.7, 0.5))),
    "confidence": lambda rng: usual(rng, confidence=rng.betavariate(4, 2)),
    "entropy": lambda rng: usual(rng, entropy=rng.gammavariate(2, 0.4)),
    "labels": lambda rng: usual(rng, label=rng.choices(["refund", "shipping", "new"], [2, 3, 5])[0]),
    "escalated": lambda rng: usual(rng, escalated=rng.random() < 0.55),
}


@pytest.mark.parametrize("measure", MOVES)
def test_each_measure_is_noticed_within_a_window_and_named(measure: str) -> None:
    rng = random.Random(measure)
    watch = TrafficWatch(LIMITS)
    assert not any(watch.update(usual(rng)) for _ in range(2000))
    moved = next(moved for _ in range(LIMITS.window) if (moved := watch.update(MOVES[measure](rng))))
    assert [each.measure for each in moved] == [measure]
    if measure == "labels":
        assert (moved[0].label, moved[0].before) == ("new", 0.0)


def test_the_new_state_is_the_next_reference() -> None:
    rng = random.Random(5)
    watch = TrafficWatch(LIMITS)
    moves = [watch.update(usual(rng)) for _ in range(1000)]
    moves += [watch.update(MOVES["confidence"](rng)) for _ in range(2000)]
    assert len([moved for moved in moves if moved]) == 1


def test_quiet_traffic_is_quiet() -> None:
    """50,000 tickets, a look every 50 of them, five measures."""
    rng = random.Random(7)
    watch = TrafficWatch(LIMITS)
    assert not any(watch.update(usual(rng)) for _ in range(50_000))


def test_a_small_difference_is_none_however_sure_it_is() -> None:
    rng = random.Random(3)
    limits = TrafficLimits(reference=20_000, window=20_000)
    before = [usual(rng) for _ in range(limits.reference)]
    after = [usual(rng, escalated=rng.random() < 0.25) for _ in range(limits.window)]
    assert compare(before, after, limits) == ()


def test_too_early_is_so_many_tickets_more() -> None:
    rng = random.Random(1)
    watch = TrafficWatch(LIMITS)
    for left in range(600, 0, -1):
        assert watch.missing == left
        assert watch.update(MOVES["confidence"](rng) if left <= 200 else usual(rng)) == () or left == 1
    assert watch.missing == 600, "the last of them was an alarm"


@pytest.mark.parametrize("seed", range(5))
def test_p_values_are_those_of_scipy(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIGNIFICANT", 1.1)
    rng = random.Random(seed)
    limits = TrafficLimits(distance=1e-9, label_shift=1e-9, escalation_shift=1e-9)
    before = [usual(rng, label=rng.choice("abc")) for _ in range(300)]
    after = [usual(rng, confidence=rng.betavariate(8, 2.3), label=rng.choice("abc")) for _ in range(200)]
    found = {each.measure: each for each in compare(before, after, limits)}
    for measure in ("input_length", "confidence", "entropy"):
        expected = stats.ks_2samp(*([getattr(each, measure) for each in part] for part in (before, after)))
        assert found[measure].difference == pytest.approx(expected.statistic)
        assert found[measure].p_value == pytest.approx(expected.pvalue, rel=0.15, abs=0.03)
    counts = [Counter(each.label for each in part) for part in (before, after)]
    table = [[count[label] for label in "abc"] for count in counts]
    expected_p = stats.chi2_contingency(table, correction=False).pvalue
    assert found["labels"].p_value == pytest.approx(expected_p, abs=0.01)


def test_answers_without_a_signal_have_no_numbers_and_are_no_trouble() -> None:
    blank = Sighting.of("text", unscorable(Reason.LOGPROBS_NULL, label="refund"), escalated=True)
    assert blank == Sighting(4, None, None, "refund", True)
    rng = random.Random(2)
    moved = compare([usual(rng) for _ in range(400)], [blank] * 200, LIMITS)
    assert {each.measure for each in moved} == {"input_length", "labels", "escalated"}


class TestAgent:
    def test_an_alert_names_what_moved_and_the_endpoint(self) -> None:
        rng = random.Random(9)
        handle = TrafficHandler(Policy(), LIMITS, "mini")
        quiet = [handle(classified(rng, number, 0.9)) for number in range(600)]
        assert not any(quiet)
        alerts = [each for number in range(600, 900) for each in handle(classified(rng, number, 0.3))]
        (alert,) = alerts
        assert isinstance(alert, Alert)
        assert (alert.source, alert.kind) == ("mini", "traffic_changed")
        assert set(alert.details["moved"]) == {"confidence", "escalated"}
        assert "escalated" in alert.summary
        assert Alert.decode(alert.encode()) == alert

    def test_a_ticket_that_no_endpoint_was_asked_about_tells_nothing(self) -> None:
        handle = TrafficHandler(Policy(), LIMITS, "mini")
        unasked = call(signal=unscorable(Reason.BREAKER_OPEN), attempts=())
        assert not any(handle(Classification(ticket=ticket(str(n)), call=unasked)) for n in range(2000))


def classified(rng: random.Random, number: int, confidence: float) -> Classification:
    signal = scored(rng.choice(["refund", "shipping"]), confidence=confidence - rng.random() * 0.1)
    made = call(signal=signal, attempts=(attempt(at_ms=1000 + number),))
    return Classification(ticket=ticket(str(number), text="x" * rng.randint(20, 60)), call=made)

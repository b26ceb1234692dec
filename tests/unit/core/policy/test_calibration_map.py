from __future__ import annotations

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from streams.core.policy.calibration_map import CalibrationMap, Evidence, Isotonic, Logistic, Temperature


def test_a_temperature_divides_the_log_odds() -> None:
    assert Temperature(temperature=1.0)(0.8) == pytest.approx(0.8)
    assert Temperature(temperature=2.0)(0.8) == pytest.approx(1 / (1 + math.exp(-math.log(4) / 2)))
    assert Temperature(temperature=0.5)(0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_certainty_stays_certainty(end: float) -> None:
    assert Temperature(temperature=3.0)(end) == end


@pytest.mark.parametrize("confidence", [1e-300, 1 - 1e-16])
def test_the_edges_do_not_overflow(confidence: float) -> None:
    assert 0.0 <= Temperature(temperature=0.05)(confidence) <= 1.0


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_is_positive_and_finite(temperature: float) -> None:
    with pytest.raises(ValidationError):
        Temperature(temperature=temperature)


def test_isotonic_is_straight_between_knots_flat_above_and_falls_to_zero_below() -> None:
    line = Isotonic(shown=(0.4, 0.6, 0.9), right=(0.5, 0.8, 0.95))
    assert [line(x) for x in (0.4, 0.5, 0.6, 0.75, 0.9, 1.0)] == pytest.approx([0.5, 0.65, 0.8, 0.875, 0.95, 0.95])
    assert [line(x) for x in (0.0, 0.2)] == pytest.approx([0.0, 0.25])


def test_a_knot_at_zero_confidence_is_no_division_by_zero() -> None:
    assert Isotonic(shown=(0.0, 1.0), right=(0.2, 0.9))(0.0) == 0.2


@pytest.mark.parametrize(
    ("shown", "right"),
    [((0.4, 0.4), (0.1, 0.2)), ((0.6, 0.4), (0.1, 0.2)), ((0.4, 0.6), (0.3, 0.2)), ((0.4,), (0.1, 0.2)), ((), ())],
)
def test_a_line_that_is_none_is_refused(shown: tuple[float, ...], right: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        Isotonic(shown=shown, right=right)


WEIGHED = Logistic(intercept=1.0, confidence=0.5, entropy=-0.25, novelty=-4.0, agreement=2.0, neighbour_novelty=3.0)


@pytest.mark.parametrize("one", [Temperature(temperature=0.7), Isotonic(shown=(0.2, 0.9), right=(0.1, 0.99)), WEIGHED])
def test_a_map_survives_the_policy_file(one: CalibrationMap) -> None:
    adapter: TypeAdapter[CalibrationMap] = TypeAdapter(CalibrationMap)
    assert adapter.validate_json(adapter.dump_json(one)) == one


@pytest.mark.parametrize("one", [Temperature(temperature=0.7), Isotonic(shown=(0.2, 0.9), right=(0.1, 0.99))])
def test_a_map_of_one_number_looks_at_no_other(one: Temperature | Isotonic) -> None:
    assert one.probability(Evidence(0.8, 1.0, 0.9, -1.0)) == one.probability(Evidence(0.8)) == one(0.8)


def test_a_logistic_map_adds_up_what_is_known() -> None:
    odds = 1.0 + 0.5 * math.log(4) - 0.25 * 0.4 - 4.0 * 0.3 + 2.0 * 0.75 + 3.0 * 0.1
    assert WEIGHED.probability(Evidence(0.8, 0.4, 0.3, 0.75, 0.1)) == pytest.approx(1 / (1 + math.exp(-odds)))


def test_what_no_memory_knows_counts_as_the_worst_it_could_say() -> None:
    assert WEIGHED.probability(Evidence(0.8)) == WEIGHED.probability(Evidence(0.8, 0.0, 2.0, -1.0, 0.0))


@pytest.mark.parametrize("wrong", [{"confidence": -0.1}, {"entropy": 0.1}, {"novelty": 0.1}, {"agreement": -0.1}])
def test_a_weight_with_the_wrong_sign_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Logistic.model_validate(WEIGHED.model_dump() | wrong)

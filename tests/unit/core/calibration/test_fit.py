from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from streams.core.calibration.fit import FOLDS, applied, choose_map, fit_isotonic, fit_temperature
from streams.core.calibration.measures import Floats, ece
from streams.core.policy.calibration_map import Isotonic, Temperature


def sample(count: int, temperature: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Answers of a model whose log odds are off by this factor."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 1.5, count).clip(0.02, 0.98)
    worth = np.array([Temperature(temperature=temperature)(x) for x in confidence])
    return confidence, (rng.uniform(size=count) < worth).astype(float)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_made_the_answers_is_found(temperature: float) -> None:
    assert fit_temperature(*sample(20_000, temperature)).temperature == pytest.approx(temperature, rel=0.05)


def test_the_temperature_has_the_least_loss_of_a_grid() -> None:
    confidence, right = sample(500, 1.7)
    found = fit_temperature(confidence, right)

    def loss(one: Temperature) -> float:
        shown = applied(one, confidence)
        return float(-np.mean(right * np.log(shown) + (1 - right) * np.log(1 - shown)))

    assert loss(found) <= min(loss(Temperature(temperature=t)) for t in np.linspace(0.2, 5, 200)) + 1e-7


def test_answers_that_are_all_right_give_a_finite_temperature() -> None:
    assert 0 < fit_temperature(np.full(30, 0.9), np.ones(30)).temperature < 1


def test_isotonic_pools_like_the_reference_at_its_knots() -> None:
    confidence, right = sample(800, 2.0)
    ours = fit_isotonic(confidence, right)
    # The reference on the same answers with the imagined hit and slip.
    shown = np.concatenate(([confidence.min()], confidence, [confidence.max()]))
    hits = np.concatenate(([1.0], right, [0.0]))
    reference = IsotonicRegression().fit(shown, hits)
    assert sorted(set(reference.predict(shown).round(6))) == pytest.approx(sorted(ours.right), abs=2e-6)


def test_no_number_of_right_answers_proves_certainty() -> None:
    line = fit_isotonic(np.linspace(0.5, 0.99, 200), np.ones(200))
    assert 0.99 < line(0.99) < 1.0


def test_isotonic_of_one_confidence_is_one_knot() -> None:
    line = fit_isotonic(np.full(8, 0.7), np.array([1.0] * 6 + [0.0] * 2))
    assert line == Isotonic(shown=(0.7,), right=(0.7,))


def test_the_kind_with_the_smaller_held_out_loss_is_chosen() -> None:
    straight = choose_map(*sample(400, 0.5))
    assert isinstance(straight.map, Temperature)
    assert straight.log_loss["temperature"] < straight.log_loss["none"]
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.3, 1.0, 3_000)
    stepped = choose_map(confidence, (rng.uniform(size=3_000) < np.where(confidence < 0.8, 0.3, 0.97)).astype(float))
    assert isinstance(stepped.map, Isotonic)
    assert stepped.log_loss["isotonic"] < stepped.log_loss["temperature"]
    assert stepped.brier["isotonic"] < stepped.brier["none"]


def test_calibration_helps_on_answers_that_were_not_fitted() -> None:
    chosen = choose_map(*sample(2_000, 0.5, seed=1)).map
    confidence, right = sample(20_000, 0.5, seed=2)
    assert ece(applied(chosen, confidence), right) < 0.5 * ece(confidence, right)


def test_the_choice_is_the_same_every_time() -> None:
    assert choose_map(*sample(300, 1.4)) == choose_map(*sample(300, 1.4))


def test_too_few_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 answers"):
        choose_map(np.full(2 * FOLDS - 1, 0.9), np.ones(2 * FOLDS - 1))

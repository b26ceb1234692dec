from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from streams.core.calibration.fit import FOLDS, Choice, applied, choose_map, fit_isotonic, fit_logistic, fit_temperature
from streams.core.calibration.measures import Floats, auroc, ece
from streams.core.policy.calibration_map import Evidence, Isotonic, Logistic, Temperature


def sample(count: int, temperature: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Answers of a model whose log odds are off by this factor."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 1.5, count).clip(0.02, 0.98)
    worth = np.array([Temperature(temperature=temperature)(x) for x in confidence])
    return confidence, (rng.uniform(size=count) < worth).astype(float)


def alone(confidence: Floats) -> list[Evidence]:
    """What is known without a memory."""
    return [Evidence(one) for one in confidence.tolist()]


def choose(confidence: Floats, right: Floats) -> Choice:
    return choose_map(alone(confidence), right)


def remembered(count: int, seed: int = 0) -> tuple[list[Evidence], Floats]:
    """Answers whose confidence says half of what there is to know, and the memory the other half."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 1.5, count).clip(0.02, 0.98)
    novelty, agreement = rng.uniform(0.2, 0.9, count), rng.uniform(-1, 1, count)
    truth = Logistic(intercept=3.0, confidence=0.8, entropy=0.0, novelty=-6.0, agreement=1.0)
    rows = zip(confidence.tolist(), novelty.tolist(), agreement.tolist(), strict=True)
    known = [Evidence(one, 0.0, novel, agreed) for one, novel, agreed in rows]
    return known, (rng.uniform(size=count) < applied(truth, known)).astype(float)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_made_the_answers_is_found(temperature: float) -> None:
    assert fit_temperature(*sample(20_000, temperature)).temperature == pytest.approx(temperature, rel=0.05)


def test_the_temperature_has_the_least_loss_of_a_grid() -> None:
    confidence, right = sample(500, 1.7)
    found = fit_temperature(confidence, right)

    def loss(one: Temperature) -> float:
        shown = applied(one, alone(confidence))
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
    straight = choose(*sample(400, 0.5))
    assert isinstance(straight.map, Temperature)
    assert straight.log_loss["temperature"] < straight.log_loss["none"]
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.3, 1.0, 3_000)
    stepped = choose(confidence, (rng.uniform(size=3_000) < np.where(confidence < 0.8, 0.3, 0.97)).astype(float))
    assert isinstance(stepped.map, Isotonic)
    assert stepped.log_loss["isotonic"] < stepped.log_loss["temperature"]
    assert stepped.brier["isotonic"] < stepped.brier["none"]


def test_calibration_helps_on_answers_that_were_not_fitted() -> None:
    chosen = choose(*sample(2_000, 0.5, seed=1)).map
    confidence, right = sample(20_000, 0.5, seed=2)
    assert ece(applied(chosen, alone(confidence)), right) < 0.5 * ece(confidence, right)


def test_the_choice_is_the_same_every_time() -> None:
    assert choose(*sample(300, 1.4)) == choose(*sample(300, 1.4))


def test_too_few_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 answers"):
        choose(np.full(2 * FOLDS - 1, 0.9), np.ones(2 * FOLDS - 1))


def test_the_weights_that_made_the_answers_are_found() -> None:
    found = fit_logistic(*remembered(20_000))
    assert found.confidence == pytest.approx(0.8, rel=0.1)
    assert found.novelty == pytest.approx(-6.0, rel=0.1)
    assert found.agreement == pytest.approx(1.0, rel=0.1)
    assert found.entropy == 0.0, "it says nothing here"


def test_a_weight_with_the_wrong_sign_is_left_out() -> None:
    known, right = remembered(4_000)
    turned = [Evidence(one.confidence, 0.0, 0.9 - (one.novelty or 0.0), one.agreement) for one in known]
    found = fit_logistic(turned, right)
    assert (found.novelty, found.confidence > 0) == (0.0, True)


def test_answers_that_are_all_right_prove_no_certainty() -> None:
    known, _ = remembered(200)
    found = fit_logistic(known, np.ones(200))
    assert max(applied(found, known)) < 1.0


def test_what_a_memory_says_is_weighed_if_it_helps() -> None:
    choice = choose_map(*remembered(2_000))
    assert isinstance(choice.map, Logistic)
    assert choice.gain is not None
    assert choice.gain == min(choice.log_loss["temperature"], choice.log_loss["isotonic"]) - choice.log_loss["logistic"]
    assert choice.gain > 0.05
    known, right = remembered(10_000, seed=5)
    assert ece(applied(choice.map, known), right) < 0.02
    assert (auroc(applied(choice.map, known), right) or 0) > (auroc(applied(None, known), right) or 1) + 0.1


def test_without_a_memory_one_number_is_all_there_is() -> None:
    choice = choose(*sample(400, 0.5))
    assert choice.log_loss.keys() == choice.auroc.keys() == {"temperature", "isotonic", "none"}
    assert choice.gain is None

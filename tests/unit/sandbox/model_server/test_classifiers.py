"""The sandbox's classifiers: what they see, that they are honest, and that they are the same every time."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from streams.errors import SettingsError
from streams.sandbox.log_softmax import log_softmax
from streams.sandbox.model_server.classifiers import TextClassifier, fit_big, fit_cheap
from streams.sandbox.model_server.familiarity import Familiarity
from streams.sandbox.model_server.features import words, words_phrases_and_pieces

BANKING = Path(__file__).parents[5] / "shared" / "data" / "banking77"

SUBJECTS = {
    "refund": ["money back", "a refund", "my payment returned"],
    "shipping": ["the parcel", "my delivery", "the package"],
    "account": ["my password", "the login", "my profile"],
}
FRAMES = [
    "I want {} today",
    "please help with {}",
    "where is {} now",
    "what about {}",
    "{} is late",
    "{} does not work",
]


def corpus() -> tuple[list[str], list[str]]:
    rows = [(frame.format(subject), label) for label in SUBJECTS for subject in SUBJECTS[label] for frame in FRAMES]
    return [text for text, _ in rows], [label for _, label in rows]


def entropy(log_probs: np.ndarray) -> float:
    return float(-(np.exp(log_probs) * log_probs).sum())


def test_features_are_words_phrases_and_marked_pieces() -> None:
    assert words("Where's my Card?!") == ["where", "s", "my", "card"]
    features = words_phrases_and_pieces("my Card")
    assert features[:3] == ["my", "card", "my card"]
    assert {"#<c", "#card>", "#y>"} <= set(features)
    assert "#<card>" not in features


@pytest.mark.parametrize("fit", [fit_cheap, fit_big])
def test_predicts_a_distribution_over_the_sorted_labels(fit: type) -> None:
    model: TextClassifier = fit(*corpus())
    assert model.labels == ("account", "refund", "shipping")
    log_probs = model.predict_log_proba("please give me my money back")
    assert math.isclose(np.exp(log_probs).sum(), 1.0, abs_tol=1e-9)
    assert model.labels[int(log_probs.argmax())] == "refund"


@pytest.mark.parametrize("fit", [fit_cheap, fit_big])
def test_two_labels_get_a_column_each(fit: type) -> None:
    texts, labels = corpus()
    two = [(text, label) for text, label in zip(texts, labels, strict=True) if label != "account"]
    model: TextClassifier = fit([text for text, _ in two], [label for _, label in two])
    assert model.labels == ("refund", "shipping")
    assert model.predict_log_proba("money back")[0] > math.log(0.6)
    assert model.predict_log_proba("where is the parcel")[1] > math.log(0.6)


def test_scores_equal_those_of_the_fitted_vectoriser() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, labels = corpus()
    model = fit_big(texts, labels)
    vectors = TfidfVectorizer(analyzer=words_phrases_and_pieces, sublinear_tf=True).fit(texts)
    for text in ("my password does not work", "the the the parcel", "nothing of this was ever said"):
        expected = log_softmax(vectors.transform([text]) @ model.weights * model.familiarity.trust(text))[0]
        assert np.allclose(model.predict_log_proba(text), expected)


@pytest.mark.parametrize("text", ["", "???", "qxzvk jjpwq", "日本語"])
def test_nothing_known_gives_a_flat_distribution(text: str) -> None:
    for model in (fit_cheap(*corpus()), fit_big(*corpus())):
        assert entropy(model.predict_log_proba(text)) == pytest.approx(math.log(3), abs=0.02)


def test_unknown_words_make_the_big_model_less_sure() -> None:
    model = fit_big(*corpus())
    known, diluted = "my parcel is late", "my parcel zebra quantum violin is late"
    assert entropy(model.predict_log_proba(diluted)) > entropy(model.predict_log_proba(known)) + 0.2


def test_training_is_deterministic() -> None:
    for fit in (fit_cheap, fit_big):
        first, second = fit(*corpus(), seed=3), fit(*corpus(), seed=3)
        assert np.array_equal(first.weights, second.weights)


def test_drift_perturbs_by_its_share_of_the_weights_deviation() -> None:
    model = fit_big(*corpus())
    drifted = model.drifted(0.1, seed=1)
    noise = drifted.weights - model.weights
    assert noise.std() == pytest.approx(0.1 * model.weights.std(), rel=0.1)
    assert np.array_equal(drifted.weights, model.drifted(0.1, seed=1).weights)
    assert not np.array_equal(drifted.weights, model.drifted(0.1, seed=2).weights)
    assert np.array_equal(model.drifted(0.0, seed=1).weights, model.weights)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["a", "a", "a"], "at least two labels"), (["a", "a", "b"], "of every label; add some of b")],
)
def test_refuses_what_cannot_be_learnt(labels: list[str], message: str) -> None:
    for fit in (fit_cheap, fit_big):
        with pytest.raises(SettingsError, match=message):
            fit(["one", "two", "three"], labels)
        with pytest.raises(SettingsError, match="with words in them"):
            fit(["", "?", "!"], ["a", "a", "b"])


def test_familiarity_is_the_rarity_weighted_share_of_known_words() -> None:
    familiarity = Familiarity.of(["the card", "the fee", "the card again"])
    assert familiarity.score("the card") == 1.0
    assert familiarity.score("zebra") == familiarity.score("") == 0.0
    the, unseen = math.log(4 / 4) + 1, math.log(4 / 1) + 1
    assert familiarity.score("the zebra") == pytest.approx(the / (the + unseen))
    assert familiarity.score("the again") == familiarity.score("the zebra"), "a word of one message is not known"


def test_trust_is_full_for_typical_messages_and_falls_with_familiarity() -> None:
    familiarity = Familiarity(rarity={"card": 1.0}, known=frozenset({"card"}), unseen=1.0, typical=0.5)
    assert familiarity.trust("card card") == familiarity.trust("card zebra") == 1.0
    assert familiarity.trust("card zebra violin") == pytest.approx((1 / 3 / 0.5) ** 2)
    assert Familiarity({}, frozenset(), 1.0, typical=0.0).trust("anything") == 1.0


def calibration_error(confidences: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    bucket = np.minimum((confidences * bins).astype(int), bins - 1)
    return sum(
        (bucket == b).mean() * abs(confidences[bucket == b].mean() - correct[bucket == b].mean()) for b in set(bucket)
    )


def read_banking(name: str, queues: dict[str, str]) -> tuple[list[str], list[str]]:
    with (BANKING / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [queues[row["category"]] for row in rows]


def judged(model: TextClassifier, texts: Sequence[str], labels: Sequence[str]) -> tuple[float, float]:
    """Accuracy and expected calibration error."""
    log_probs = np.array([model.predict_log_proba(text) for text in texts])
    correct = np.array(model.labels)[log_probs.argmax(axis=1)] == np.array(labels)
    return float(correct.mean()), calibration_error(np.exp(log_probs.max(axis=1)), correct)


@pytest.mark.skipif(not BANKING.exists(), reason="the Banking77 messages are not beside this checkout")
def test_on_real_messages_the_big_model_is_better_and_both_are_honest() -> None:
    queues = json.loads((BANKING / "queues.json").read_text())
    training, test = read_banking("train.csv", queues), read_banking("test.csv", queues)
    cheap, big = fit_cheap(*training), fit_big(*training)
    cheap_accuracy, cheap_error = judged(cheap, *test)
    big_accuracy, big_error = judged(big, *test)
    assert 0.88 <= cheap_accuracy <= 0.95
    # Clearly better: less than two thirds of the cheap one's errors.
    assert 1 - big_accuracy <= 0.66 * (1 - cheap_accuracy)
    assert big_accuracy >= 0.95
    assert cheap_error < 0.05
    assert big_error < 0.05
    foreign = ["what is the weather in Paris", "xkjq wvbn plorf gruntz", "recipe for chocolate cake", "tell me a joke"]
    for text in foreign:
        assert entropy(big.predict_log_proba(text)) > 1.2, text

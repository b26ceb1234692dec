"""Two real text classifiers: a cheap one that sees a few words, and a big one that sees everything.

Both are linear in TF-IDF features and have no intercept, so a message without a known feature gets a flat
distribution. Their scores are made honest by one temperature, chosen by cross-validation (Guo et al. 2017, "On
Calibration of Modern Neural Networks"). The big one also trusts its scores less the fewer of a message's words it
knows (`Familiarity`), because scaling alone leaves it sure about messages that no label fits.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.errors import SettingsError
from streams.sandbox.log_softmax import log_softmax
from streams.sandbox.model_server.familiarity import Familiarity
from streams.sandbox.model_server.features import words, words_phrases_and_pieces

Floats = NDArray[np.float64]

_CHEAP_WORDS = 220
"""How many words the cheap classifier knows, one for two messages at most: those that tell the labels apart best."""

_MESSAGES_A_WORD = 20
"""From 4,400 messages on it knows one word for every 20. More messages speak of more things: with a vocabulary of one
size the cheap model would get worse the more there is to learn from."""

_FEW_MESSAGES = 2_000
"""Up to here the temperature is chosen over five folds, beyond it over three, which is enough and quicker."""

_SHARPNESS = np.exp(np.linspace(math.log(0.2), math.log(40.0), 120))
"""The inverse temperatures tried."""


@dataclass(frozen=True, slots=True, eq=False)
class TextClassifier:
    """A linear classifier of messages.

    ``weights`` is (features, labels), already divided by the temperature; ``rarity`` holds the inverse document
    frequency of each feature; ``vocabulary`` maps a feature to its row.
    """

    labels: tuple[str, ...]
    features: Callable[[str], list[str]]
    vocabulary: Mapping[str, int]
    rarity: Floats
    weights: Floats
    familiarity: Familiarity | None = None

    def predict_log_proba(self, text: str) -> Floats:
        """Return the log probability (nats) of each label, in the order of ``labels``."""
        return log_softmax(self.logits(text))

    def drifted(self, sigma: float, seed: int) -> TextClassifier:
        """Return a copy whose weights carry Gaussian noise of ``sigma`` times their own standard deviation."""
        noise = np.random.default_rng(seed).normal(0.0, sigma * float(self.weights.std()), self.weights.shape)
        return replace(self, weights=self.weights + noise)

    def restricted(self, labels: Sequence[str]) -> TextClassifier:
        """Return a copy that knows these of its labels only, in this order."""
        columns = [self.labels.index(label) for label in labels]
        return replace(self, labels=tuple(labels), weights=np.ascontiguousarray(self.weights[:, columns]))

    def logits(self, text: str) -> Floats:
        """Return the scores of the labels before normalising; all zero for a message without a known feature."""
        row = self.vocabulary
        counts = Counter(feature for feature in self.features(text) if feature in row)
        if not counts:
            return np.zeros(len(self.labels))
        rows = np.fromiter((row[feature] for feature in counts), np.intp, len(counts))
        values = self.rarity[rows] * (1.0 + np.log(np.fromiter(counts.values(), np.float64, len(counts))))
        logits: Floats = (values / np.linalg.norm(values)) @ self.weights[rows]
        return logits if self.familiarity is None else logits * self.familiarity.trust(text)


def fit_cheap(texts: Sequence[str], labels: Sequence[str], *, seed: int = 0) -> TextClassifier:
    """Train the cheap classifier: multinomial logistic regression on the few words that tell the labels apart best.

    Raises SettingsError for messages without a word, fewer than two labels, or a label with fewer than two messages.
    """
    return _calibrated(_fit_cheap, texts, labels, seed)


def fit_big(texts: Sequence[str], labels: Sequence[str], *, seed: int = 0) -> TextClassifier:
    """Train the big classifier: a linear support vector machine on words, phrases and pieces of words.

    Raises SettingsError for messages without a word, fewer than two labels, or a label with fewer than two messages.
    """
    return _calibrated(_fit_big, texts, labels, seed)


_Fit = Callable[[Sequence[str], Sequence[str], int], TextClassifier]


def _fit_cheap(texts: Sequence[str], labels: Sequence[str], seed: int) -> TextClassifier:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.feature_selection import chi2
    from sklearn.linear_model import LogisticRegression

    every = TfidfVectorizer(analyzer=words, sublinear_tf=True)
    separation = np.nan_to_num(chi2(every.fit_transform(texts), labels)[0])
    known = min(max(_CHEAP_WORDS, len(texts) // _MESSAGES_A_WORD), len(texts) // 2)
    best = np.sort(np.argsort(-separation, kind="stable")[:known])
    few = TfidfVectorizer(analyzer=words, sublinear_tf=True, vocabulary=every.get_feature_names_out()[best])
    model = LogisticRegression(C=10.0, max_iter=500, fit_intercept=False, random_state=seed)
    return _read_out(few, model.fit(few.fit_transform(texts), labels), familiarity=None)


def _fit_big(texts: Sequence[str], labels: Sequence[str], seed: int) -> TextClassifier:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    vectors = TfidfVectorizer(analyzer=words_phrases_and_pieces, sublinear_tf=True)
    model = LinearSVC(C=1.0, fit_intercept=False, random_state=seed)
    return _read_out(vectors, model.fit(vectors.fit_transform(texts), labels), familiarity=Familiarity.of(texts))


def _read_out(vectors: Any, model: Any, *, familiarity: Familiarity | None) -> TextClassifier:
    """Take the plain numbers out of a fitted scikit-learn vectoriser and linear model."""
    weights = model.coef_.T
    if weights.shape[1] == 1:  # two labels: scikit-learn keeps one column, the second label's
        weights = np.hstack([-weights, weights])
    return TextClassifier(
        labels=tuple(str(label) for label in model.classes_),
        features=vectors.analyzer,
        vocabulary=vectors.vocabulary_,
        rarity=np.asarray(vectors.idf_, dtype=np.float64),
        weights=np.ascontiguousarray(weights, dtype=np.float64),
        familiarity=familiarity,
    )


def _calibrated(fit: _Fit, texts: Sequence[str], labels: Sequence[str], seed: int) -> TextClassifier:
    """Fit on everything, with the temperature that suits messages which the fit has not seen."""
    from sklearn.model_selection import StratifiedKFold

    _check(texts, labels)
    whole = fit(texts, labels, seed)
    column = {label: i for i, label in enumerate(whole.labels)}
    target = np.array([column[label] for label in labels], dtype=np.intp)
    held_out = np.empty((len(texts), len(whole.labels)))
    few = len(texts) <= _FEW_MESSAGES
    folds = min(5 if few else 3, int(np.bincount(target).min()))
    for seen, unseen in StratifiedKFold(folds, shuffle=True, random_state=seed).split(target, target):
        part = fit([texts[i] for i in seen], [labels[i] for i in seen], seed)
        held_out[unseen] = [part.logits(texts[i]) for i in unseen]
    return replace(whole, weights=whole.weights * _best_sharpness(held_out, target))


def _check(texts: Sequence[str], labels: Sequence[str]) -> None:
    if not any(map(words, texts)):
        raise SettingsError("training needs messages with words in them")
    counts = Counter(labels)
    if len(counts) < 2:
        raise SettingsError(f"training needs messages of at least two labels, found {sorted(counts)}")
    if rare := sorted(label for label, count in counts.items() if count < 2):
        raise SettingsError(f"training needs at least two messages of every label; add some of {', '.join(rare)}")


def _best_sharpness(logits: Floats, target: NDArray[np.intp]) -> float:
    """Return the inverse temperature with the smallest cross-entropy on held-out scores.

    The targets are smoothed as Platt 1999 does for two classes, so that a few messages without an error do not make
    a model that is never in doubt.
    """
    messages, labels = logits.shape
    doubt = 1.0 / (messages / labels + 2.0)
    wanted = np.full(logits.shape, doubt / labels)
    wanted[np.arange(messages), target] += 1.0 - doubt
    losses = [-(wanted * log_softmax(logits * sharpness)).sum() for sharpness in _SHARPNESS]
    return float(_SHARPNESS[int(np.argmin(losses))])

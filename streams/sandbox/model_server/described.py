"""A classifier for labels that no message was seen of: it looks for the words of their names and descriptions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from streams.sandbox.model_server.classifiers import TextClassifier
from streams.sandbox.model_server.features import words

_ENDINGS = ("ations", "ation", "ings", "ing", "ions", "ion", "ies", "ed", "es", "s", "y", "e")
_SHORTEST_STEM = 3

_NAME_WEIGHT = 1.0
_DESCRIPTION_WEIGHT = 0.85
"""A word of a description says less than the name itself."""

CHEAP_SHARPNESS = 4.0
"""The logit, in nats, of a message with the rarest word of one label's name and no word of another label."""
BIG_SHARPNESS = 5.5


def stems(text: str) -> list[str]:
    """Return the words of ``text`` without their endings, so that "invoices" and "invoiced" are the same."""
    return [_stem(word) for word in words(text)]


def described_classifier(
    labels: Sequence[tuple[str, str]],
    rarity: Mapping[str, float],
    *,
    features: Callable[[str], list[str]],
    sharpness: float,
) -> TextClassifier:
    """Return a classifier of (label, description) pairs, flat for a message without any of their words.

    ``rarity`` is the inverse document frequency of words in some messages: what stands in most of them, such as "my",
    tells no labels apart. A word that it does not know is as rare as its rarest.
    """
    rarest = max(rarity.values(), default=2.0)
    importance: dict[str, float] = {}
    weights: dict[str, list[float]] = {}
    for column, (name, description) in enumerate(labels):
        for text, weight in ((description, _DESCRIPTION_WEIGHT), (name.replace("_", " "), _NAME_WEIGHT)):
            for word in words(text):
                [feature] = features(word)
                rare = max(0.0, (rarity.get(word, rarest) - 1.0) / (rarest - 1.0))
                importance[feature] = max(importance.get(feature, 0.0), rare)
                row = weights.setdefault(feature, [0.0] * len(labels))
                row[column] = max(row[column], weight)
    known = [feature for feature, rare in importance.items() if rare > 0.0]
    share = {feature: sum(map(bool, weights[feature])) / len(labels) for feature in known}
    return TextClassifier(
        labels=tuple(name for name, _ in labels),
        features=features,
        vocabulary={feature: row for row, feature in enumerate(known)},
        # A word of many labels tells less; with one label it counts in full.
        rarity=np.array([importance[each] * math.sqrt(1.0 - share[each] + 1.0 / len(labels)) for each in known]),
        weights=sharpness
        * np.array([[importance[each] * weight for weight in weights[each]] for each in known]).reshape(
            -1, len(labels)
        ),
    )


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word.removesuffix(ending)
    return word

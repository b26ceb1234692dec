"""What examples in a chat do to a trained classifier: the one place that says how.

A language model that is shown messages with their answers leans to the answers of those that resemble the message at
hand, as if by a kernel regression over the examples (Han and others 2023, "Explaining Emergent In-Context Learning as
Kernel Regression", arXiv 2305.12766). The trained classifiers of the sandbox do the same in the plainest form: each
example adds ``PULL`` times its similarity, in nats, to the logit of its label. The similarity is the cosine of both
messages' words, each weighted by its rarity in the training messages. So an example that shares no word changes
nothing, and its text can do nothing but resemble: what it says is not obeyed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from streams.sandbox.log_softmax import log_softmax
from streams.sandbox.model_server.classifiers import Floats
from streams.sandbox.model_server.features import words

PULL = 2.0
"""What an example with the very words of the message adds to its label's logit, nats."""


def leaning(
    log_probs: Floats,
    labels: Sequence[str],
    text: str,
    examples: Sequence[tuple[str, str]],
    rarity: Mapping[str, float],
) -> Floats:
    """Return log probabilities of ``labels`` after reading ``examples``, (text, label) pairs; other labels do nothing."""
    column = {label: place for place, label in enumerate(labels)}
    logits = log_probs.copy()
    here = _weights(text, rarity)
    for message, label in examples:
        if label in column:
            logits[column[label]] += PULL * _cosine(here, _weights(message, rarity))
    return log_softmax(logits)


def _weights(text: str, rarity: Mapping[str, float]) -> dict[str, float]:
    rarest = max(rarity.values(), default=1.0)
    return {word: rarity.get(word, rarest) for word in set(_words(text))}


@lru_cache(maxsize=20_000)
def _words(text: str) -> tuple[str, ...]:
    return tuple(words(text))


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    shared = sum(weight * other[word] for word, weight in one.items() if word in other)
    lengths = math.sqrt(sum(x * x for x in one.values()) * sum(x * x for x in other.values()))
    return shared / lengths if lengths else 0.0

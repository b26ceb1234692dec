"""How much of a message is made of words that the training messages have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streams.sandbox.model_server.features import words

_KNOWN_FROM = 2
"""A word counts as known when at least this many training messages have it: one message may hold a slip."""

_TYPICAL_QUANTILE = 0.05
"""The share of training messages that may look less familiar than ``typical``."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """The share of a message's words that are known, each word weighted by its rarity.

    ``rarity`` maps each word of the training messages to its inverse document frequency; ``unseen`` is the rarity of
    any other word. ``typical`` is a familiarity that all but a few of the training messages reach, each judged as if
    it had not been trained on.
    """

    rarity: Mapping[str, float]
    known: frozenset[str]
    unseen: float
    typical: float

    @classmethod
    def of(cls, texts: Sequence[str]) -> Familiarity:
        """Learn from the training messages."""
        frequency = Counter(word for text in texts for word in set(words(text)))
        rarity = {word: _rarity(len(texts), count) for word, count in frequency.items()}
        unseen = _rarity(len(texts), 0)
        once_more = frozenset(word for word, count in frequency.items() if count > _KNOWN_FROM)
        left_out = sorted(_share(set(words(text)), rarity, once_more, unseen) for text in texts)
        typical = left_out[int(_TYPICAL_QUANTILE * len(left_out))]
        known = frozenset(word for word, count in frequency.items() if count >= _KNOWN_FROM)
        return cls(rarity, known, unseen, typical)

    def score(self, text: str) -> float:
        """Return the familiarity of ``text``: 0 (no known word, or no word at all) to 1 (all known)."""
        return _share(set(words(text)), self.rarity, self.known, self.unseen)

    def trust(self, text: str) -> float:
        """Return how far a classifier's logits may be believed for ``text``, 0 to 1; 1 for any typical message."""
        if self.typical <= 0.0:
            return 1.0
        return min(1.0, self.score(text) / self.typical) ** 2


def _rarity(messages: int, with_word: int) -> float:
    return math.log((1 + messages) / (1 + with_word)) + 1.0


def _share(found: Iterable[str], rarity: Mapping[str, float], known: frozenset[str], unseen: float) -> float:
    inside = outside = 0.0
    for word in found:
        if word in known:
            inside += rarity[word]
        else:
            outside += unseen
    total = inside + outside
    return inside / total if total else 0.0

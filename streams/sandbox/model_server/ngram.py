"""A trigram language model with interpolated Witten-Bell smoothing, for prompt logprobs and token counts.

Witten and Bell 1991, method C: a history that has been followed by many different tokens gives more of its mass to the
shorter history. The last resort is a proper distribution over spellings, so no token has probability zero.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r" ?[A-Za-z0-9_]{1,6}| ?[!-/:-@\[-^`{-~]{1,3}|.", re.DOTALL)
"""Pieces of up to six characters with the space before them, about four characters on average in English."""

_ORDER = 3
_LOG_STOP = math.log(0.5)
_ASCII = 128
_LOG_ASCII = math.log(0.5 / _ASCII)
_LOG_OTHER = math.log(0.5 / (0x110000 - _ASCII))


def text_tokens(text: str) -> list[str]:
    """Return the tokens of ``text``; joined they spell it again."""
    return _TOKEN.findall(text)


@dataclass(frozen=True, slots=True)
class _Followers:
    """What came after one history in the training texts."""

    counts: Counter[str]
    total: int


@dataclass(frozen=True, slots=True)
class NgramModel:
    """Conditional probabilities of tokens given up to two tokens before; build one with `NgramModel.of`."""

    histories: dict[tuple[str, ...], _Followers]

    @classmethod
    def of(cls, texts: Iterable[str]) -> NgramModel:
        """Count the tokens of the training texts."""
        counts: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text in texts:
            tokens = text_tokens(text)
            for i, token in enumerate(tokens):
                for history in _histories(tokens, i):
                    counts[history][token] += 1
        return cls({history: _Followers(found, found.total()) for history, found in counts.items()})

    def log_prob(self, tokens: Sequence[str], position: int) -> float:
        """Return ln P(tokens[position] | the tokens before it)."""
        return self._log_prob(tokens[position], list(_histories(tokens, position)))

    def likeliest(self, tokens: Sequence[str], position: int, k: int) -> dict[str, float]:
        """Return ``k`` likely tokens after ``tokens[:position]`` with their log probabilities, highest first.

        Candidates are what followed the longest known history, then the shorter ones, so they are likely ones but not
        guaranteed to be the k likeliest. Fewer come back when the training texts held fewer tokens.
        """
        histories = list(_histories(tokens, position))
        candidates: dict[str, None] = {}
        for history in reversed(histories):
            if history in self.histories:
                candidates |= dict.fromkeys(token for token, _ in self.histories[history].counts.most_common(k))
        scored = {token: self._log_prob(token, histories) for token in candidates}
        return dict(sorted(scored.items(), key=lambda item: -item[1])[:k])

    def _log_prob(self, token: str, histories: Sequence[tuple[str, ...]]) -> float:
        probability = math.exp(_log_spelling(token))
        for history in histories:
            followers = self.histories.get(history)
            if followers is None:
                break
            kinds = len(followers.counts)
            probability = (followers.counts[token] + kinds * probability) / (followers.total + kinds)
        return math.log(probability)


def _histories(tokens: Sequence[str], position: int) -> Iterator[tuple[str, ...]]:
    """Yield the tokens before ``position`` as histories of growing length, the empty one first."""
    for length in range(min(_ORDER, position + 1)):
        yield tuple(tokens[position - length : position])


def _log_spelling(token: str) -> float:
    """Return the log probability of writing ``token`` character by character: half the mass goes to ASCII.

    A token has at most seven characters, so this is above -44 nats: far from -100, where clients see "no value".
    """
    return sum(_LOG_STOP + (_LOG_ASCII if ord(character) < _ASCII else _LOG_OTHER) for character in token)

"""How the stand-in is served: activations in 8 bits, with one scale for the whole batch.

So what shares a batch with a request moves its logprobs, as on servers that quantise activations as they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.tinychange.recording import Ints
from benchmarks.tinychange.small.network import CONTEXT, Array, Weights, forward
from streams.sandbox.language_model.distribution import LogProbs
from streams.sandbox.log_softmax import log_softmax

COMPANY = 7
"""The most other requests in a batch."""

_STEPS = 127
_BLANK = " "


@dataclass(frozen=True, slots=True, eq=False)
class SmallServer:
    """The model, the letters it knows, and the texts that other requests go on from."""

    weights: Weights
    letters: str
    others: Array

    def log_probs(self, text: str, chance: np.random.Generator, before: str = "") -> LogProbs:
        """Return the log probabilities of the next letter, in company drawn at random."""
        count = int(chance.integers(0, COMPANY + 1))
        places = chance.integers(CONTEXT, len(self.others), count)
        company = self.others[places[:, None] + np.arange(-CONTEXT, 0)]
        return log_softmax(self._logits(np.vstack((self._context(before + text), company)))[0])

    def completions(self, text: str, count: int, length: int, chance: np.random.Generator) -> Ints:
        """Return letters sampled at temperature 1, as indices; all completions share a batch."""
        contexts = np.repeat(self._context(text), count, axis=0)
        for _ in range(length):
            logits = self._logits(contexts)
            drawn = np.argmax(logits + chance.gumbel(size=logits.shape), axis=1)
            contexts = np.hstack((contexts, drawn[:, None]))
        return contexts[:, -length:].astype(np.int64)

    def first_token(self, text: str) -> int:
        """Return a text's first letter, as an index."""
        return self.letters.index(text[0])

    def count(self, text: str) -> int:
        """Return the number of letters that are read."""
        return min(CONTEXT, len(text))

    def _context(self, text: str) -> Array:
        return indices(text.rjust(CONTEXT, _BLANK)[-CONTEXT:], self.letters)[None]

    def _logits(self, contexts: Array) -> Array:
        y = forward(self.weights, contexts[:, -CONTEXT:])["y"]
        scale = np.abs(y).max() / _STEPS
        rounded: Array = (np.rint(y / scale) * scale).astype(np.float32) @ self.weights["out"]
        return rounded


def indices(text: str | Sequence[str], letters: str) -> Array:
    """Return the letters' indices; an unknown letter is a blank."""
    blank = letters.index(_BLANK)
    known = {letter: place for place, letter in enumerate(letters)}
    return np.array([known.get(letter, blank) for letter in text])

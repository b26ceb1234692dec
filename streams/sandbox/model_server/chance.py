"""The noise of a call, which depends on nothing but the call: what else is asked meanwhile changes no answer."""

from __future__ import annotations

from collections import Counter

import numpy as np

from schemas import digest_of

_REMEMBERED = 100_000
"""Texts whose calls are counted; past this many all counts begin again."""


class CallChance:
    """Gives every call its generator: the n-th call of a model with a text has the same one in every run of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._calls: Counter[bytes] = Counter()

    def of(self, alias: str, text: str) -> np.random.Generator:
        """Return the generator of the next call with this text."""
        key = digest_of(f"{alias}\n{text}")
        if len(self._calls) >= _REMEMBERED:
            self._calls.clear()
        self._calls[key] += 1
        return np.random.default_rng([self._seed % 2**63, int.from_bytes(key[:16]), self._calls[key]])

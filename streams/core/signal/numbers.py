"""Which numbers of a response are log-probabilities."""

from __future__ import annotations

import math

#: At or below this many nats a number stands for "not computed": -9999 (OpenAI, vLLM), -100, -inf.
FLOOR = -100.0
#: A probability of one may come back as a logprob this far above zero, from rounding.
NOISE = 1e-6
#: A lone token at or above this many nats was certain, or the others were left out: it says nothing about them.
ALMOST_CERTAIN = math.log(0.999)
#: Marks what cannot be a logprob: above zero, or text where a number belongs.
IMPOSSIBLE = math.inf


def log_probability(value: object) -> float | None:
    """Return nats, -inf for a floor (NaN is one), None for null, or IMPOSSIBLE."""
    if type(value) is float and FLOOR < value <= 0:
        return value  # nearly every one: there are twenty next to each token
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return IMPOSSIBLE
    if value <= FLOOR or value != value:  # noqa: PLR0124 - NaN is the one number that differs from itself
        return -math.inf
    if value <= 0:
        return float(value)
    return 0.0 if value <= NOISE else IMPOSSIBLE


def log_of_probability(value: object) -> float | None:
    """Return what ``log_probability`` would for its exponential, as llama.cpp gives it after sampling."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0 or value > 1 + NOISE:
        return IMPOSSIBLE
    return log_probability(math.log(value)) if value > 0 else -math.inf


def count(value: object) -> int | None:
    """Return a token count, or None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        return None
    return value

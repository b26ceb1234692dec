"""How likely chance alone is to do what was seen."""

from __future__ import annotations

import math


def binomial_tail(hits: int, calls: int, rate: float) -> float:
    """Return P(X >= hits) of ``calls`` independent calls that hit with probability ``rate`` (between 0 and 1)."""
    if hits <= 0:
        return 1.0
    if hits > calls:
        return 0.0
    if rate <= 0.0 or rate >= 1.0:
        return float(rate >= 1.0)
    if hits <= calls * rate:
        # The other side: from here the first term may be too small for a float, although the sum is not.
        return 1.0 - binomial_tail(calls - hits + 1, calls, 1.0 - rate)
    log_term = (
        math.lgamma(calls + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(calls - hits + 1)
        + hits * math.log(rate)
        + (calls - hits) * math.log1p(-rate)
    )
    term = total = math.exp(log_term)
    odds = rate / (1.0 - rate)
    for count in range(hits, calls):
        term *= odds * (calls - count) / (count + 1)
        total += term
    return min(1.0, total)


def predictive_tails(hits: int, calls: int, before_hits: float, before_calls: float) -> tuple[float, float]:
    """Return (P(X <= hits), P(X >= hits)) of ``calls`` new calls, given only how many hit before.

    X is beta-binomial with Jeffreys' prior, so a short history, which knows its rate badly, finds fewer surprises.
    """
    a, b = before_hits + 0.5, before_calls - before_hits + 0.5
    lgamma = math.lgamma
    here = math.exp(
        (lgamma(calls + 1) - lgamma(hits + 1) - lgamma(calls - hits + 1))
        + (lgamma(hits + a) + lgamma(calls - hits + b) - lgamma(calls + a + b))
        + (lgamma(a + b) - lgamma(a) - lgamma(b))
    )
    # The side away from the mean is summed, term from term; the other is the rest.
    term = total = here
    if hits * (a + b) <= calls * a:
        for count in range(hits, 0, -1):
            term *= count * (calls - count + b) / ((calls - count + 1) * (count - 1 + a))
            total += term
        return min(1.0, total), min(1.0, 1.0 - total + here)
    for count in range(hits, calls):
        term *= (calls - count) * (count + a) / ((count + 1) * (calls - count - 1 + b))
        total += term
    return min(1.0, 1.0 - total + here), min(1.0, total)


def predictive_none(calls: int, before_hits: float, before_calls: float) -> float:
    """Return P(X = 0) of ``predictive_tails``, for any number of calls at the same cost."""
    a, b = before_hits + 0.5, before_calls - before_hits + 0.5
    return math.exp(math.lgamma(b + calls) - math.lgamma(b) + math.lgamma(a + b) - math.lgamma(a + b + calls))

"""How likely chance alone is to do what was seen."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

_NOTHING: Final = 2.0**-60
"""A falling term below this share of its sum changes no digit of it."""


def binomial_at_least(hits: int, calls: int, rate: float) -> float:
    """Return P(X >= hits) of ``calls`` independent calls that hit with probability ``rate`` (between 0 and 1)."""
    return _at_most(calls - hits, calls, 1.0 - rate, rate)


def binomial_at_most(hits: int, calls: int, rate: float) -> float:
    """Return P(X <= hits) of ``calls`` independent calls that hit with probability ``rate`` (between 0 and 1)."""
    return _at_most(hits, calls, rate, 1.0 - rate)


def _at_most(hits: int, calls: int, rate: float, rest: float) -> float:
    """Return P(X <= hits); ``rest`` is 1 - ``rate``, given because the smaller of the two is known more exactly."""
    if hits < 0:
        return 0.0
    if hits >= calls or rate <= 0.0:
        return 1.0
    if rest <= 0.0:
        return 0.0
    if hits >= calls * rate:
        # The other side: from here the first term may be too small for a float, although the sum is not.
        return 1.0 - _at_most(calls - hits - 1, calls, rest, rate)
    log_term = (
        math.lgamma(calls + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(calls - hits + 1)
        + hits * math.log(rate)
        + (calls - hits) * math.log(rest)
    )
    term = total = math.exp(log_term)
    odds = rest / rate
    for count in range(hits, 0, -1):
        term *= odds * count / (calls - count + 1)
        total += term
        if term < total * _NOTHING:
            break
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


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Return P(X >= statistic) of chi-square with ``freedom`` degrees of freedom, nearly.

    Wilson and Hilferty 1931, "The distribution of chi-square": the cube root of X / freedom is nearly normal.
    """
    spread = _cube_root_variance(freedom)
    z = ((statistic / freedom) ** (1 / 3) - (1.0 - spread)) / math.sqrt(spread)
    return math.erfc(z / math.sqrt(2)) / 2


def chi_square_quantile(upper: float, freedom: int) -> float:
    """Return the value that chi-square passes with probability ``upper``: the inverse of ``chi_square_tail``."""
    spread = _cube_root_variance(freedom)
    z = NormalDist().inv_cdf(1.0 - upper)
    return freedom * (1.0 - spread + z * math.sqrt(spread)) ** 3


def _cube_root_variance(freedom: int) -> float:
    return 2.0 / (9.0 * freedom)

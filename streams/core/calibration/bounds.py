"""What a count of errors says about the rate behind it, exactly, whatever the rate is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.core.statistics import binomial_at_most


def upper_bound(wrong: int, trials: int, level: float) -> float:
    """Return the one-sided Clopper-Pearson bound: with confidence ``level`` the rate behind the count is below it.

    Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial". No
    trial says nothing: 1.
    """
    if trials == 0 or wrong >= trials:
        return 1.0
    low, high = wrong / trials, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if binomial_at_most(wrong, trials, middle) > 1 - level:
            low = middle
        else:
            high = middle
    return high


def prediction_bound(wrong: int, trials: int, coming: int, level: float) -> float:
    """Return the bound on the error rate among the next ``coming`` trials: at confidence ``level`` it is no higher.

    Fisher's exact test the other way round (Hahn and Meeker 1991, "Statistical Intervals", section 6.7): the most
    errors among the coming ones with which so few among the seen ones would still not be too unlikely. Unlike the bound
    on the rate itself it counts that what comes is a draw, too. No trial says nothing: 1.
    """
    if trials == 0 or coming == 0:
        return 1.0
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, trials + coming + 1)))))
    low, high = 0, coming  # the tail falls as more errors are to come
    while low < high:
        middle = (low + high + 1) // 2
        if _hypergeometric_tail(wrong, trials, wrong + middle, trials + coming, logs) > 1 - level:
            low = middle
        else:
            high = middle - 1
    return low / coming


def _hypergeometric_tail(wrong: int, drawn: int, marked: int, total: int, logs: NDArray[np.float64]) -> float:
    """Return the chance of at most ``wrong`` marked ones among ``drawn`` out of ``total``; ``logs`` are ln(n!)."""
    x = np.arange(max(0, drawn + marked - total), min(wrong, marked, drawn) + 1)

    def choose(n: int, k: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray(logs[n] - logs[k] - logs[n - k])

    terms = choose(marked, x) + choose(total - marked, drawn - x)
    return float(np.exp(terms - (logs[total] - logs[drawn] - logs[total - drawn])).sum())

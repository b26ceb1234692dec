"""What a count of errors says about the rate behind it, exactly, whatever the rate is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def binomial_tail(wrong: int, trials: int, rate: float) -> float:
    """Return the chance of at most ``wrong`` errors in ``trials`` at that rate: the p-value of "the rate is no less"."""
    if wrong >= trials or rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    k = np.arange(wrong + 1)
    steps = np.log(np.maximum(1, trials - k[:-1])) - np.log(k[1:])  # ln of choose(n, k + 1) / choose(n, k)
    choose = np.concatenate(([0.0], np.cumsum(steps)))
    terms = choose + k * math.log(rate) + (trials - k) * math.log1p(-rate)
    top = float(terms.max())
    return min(1.0, math.exp(top) * float(np.exp(terms - top).sum()))


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
        if binomial_tail(wrong, trials, middle) > 1 - level:
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

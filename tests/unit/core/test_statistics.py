"""The tails against scipy's."""

from __future__ import annotations

import pytest

from streams.core.statistics import binomial_tail, predictive_none, predictive_tails

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("calls", [1, 7, 100, 5000])
@pytest.mark.parametrize("rate", [1e-6, 0.02, 0.3, 0.999])
def test_binomial_tail(calls: int, rate: float) -> None:
    for hits in {0, 1, calls // 50, calls // 2, calls}:
        assert binomial_tail(hits, calls, rate) == pytest.approx(
            stats.binom.sf(hits - 1, calls, rate), rel=1e-6, abs=1e-300
        )


def test_binomial_tail_at_the_ends() -> None:
    assert binomial_tail(0, 0, 0.5) == 1.0
    assert binomial_tail(3, 2, 0.5) == 0.0
    assert (binomial_tail(1, 5, 0.0), binomial_tail(1, 5, 1.0)) == (0.0, 1.0)


@pytest.mark.parametrize(("before_hits", "before_calls"), [(0, 0), (0, 200), (20, 200), (199.5, 200), (2000, 4000)])
@pytest.mark.parametrize("calls", [1, 50, 2000])
def test_predictive_tails(before_hits: float, before_calls: float, calls: int) -> None:
    # scipy takes its tails from one, which leaves some 1e-11 of either.
    x = stats.betabinom(calls, before_hits + 0.5, before_calls - before_hits + 0.5)
    for hits in {0, calls // 10, calls // 2, calls}:
        lower, upper = predictive_tails(hits, calls, before_hits, before_calls)
        assert lower == pytest.approx(x.cdf(hits), rel=1e-5, abs=1e-10)
        assert upper == pytest.approx(x.sf(hits - 1), rel=1e-5, abs=1e-10)
    assert predictive_none(calls, before_hits, before_calls) == pytest.approx(x.pmf(0), rel=1e-6, abs=1e-300)

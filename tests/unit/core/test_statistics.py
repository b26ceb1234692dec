"""The tails against scipy's."""

from __future__ import annotations

import pytest

from streams.core.statistics import (
    binomial_at_least,
    binomial_at_most,
    chi_square_quantile,
    chi_square_tail,
    predictive_none,
    predictive_tails,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("calls", [1, 7, 100, 5000, 200_000])
@pytest.mark.parametrize("rate", [1e-6, 0.02, 0.3, 0.5, 0.999, 0.9999])
def test_both_binomial_tails_equal_the_reference(calls: int, rate: float) -> None:
    for hits in {0, 1, calls // 50, calls // 2, round(calls * rate), calls - 1, calls}:
        at_least, at_most = stats.binom.sf(hits - 1, calls, rate), stats.binom.cdf(hits, calls, rate)
        assert binomial_at_least(hits, calls, rate) == pytest.approx(at_least, rel=1e-8, abs=1e-300)
        assert binomial_at_most(hits, calls, rate) == pytest.approx(at_most, rel=1e-8, abs=1e-300)


def test_the_binomial_tails_at_their_ends() -> None:
    assert (binomial_at_least(0, 0, 0.5), binomial_at_most(0, 0, 0.5)) == (1.0, 1.0)
    assert (binomial_at_least(3, 2, 0.5), binomial_at_most(-1, 2, 0.5)) == (0.0, 0.0)
    assert (binomial_at_least(1, 5, 0.0), binomial_at_least(1, 5, 1.0)) == (0.0, 1.0)
    assert (binomial_at_most(3, 10, 0.0), binomial_at_most(3, 10, 1.0)) == (1.0, 0.0)


@pytest.mark.parametrize("freedom", [2, 6, 21, 41])
@pytest.mark.parametrize("upper", [1e-3, 1e-4])
def test_the_chi_square_quantile_is_close_to_the_exact_one_and_not_below_it(freedom: int, upper: float) -> None:
    """Two is the least that a detector has: a token, and what stands for the others."""
    found = chi_square_quantile(upper, freedom)
    assert 1.0 <= found / stats.chi2.isf(upper, freedom) <= (1.02 if freedom > 2 else 1.05)
    assert chi_square_tail(found, freedom) == pytest.approx(upper, rel=1e-9)


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

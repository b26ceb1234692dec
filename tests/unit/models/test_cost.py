"""What a call costs."""

from __future__ import annotations

import pytest

from streams.models.prices import Price


@pytest.mark.parametrize(
    ("tokens", "usd"), [((0, 0), 0.0), ((1_000_000, 0), 2.5), ((0, 1_000_000), 10.0), ((400, 2), 0.00102)]
)
def test_usd_per_million_tokens(tokens: tuple[int, int], usd: float) -> None:
    assert Price(2.5, 10.0).cost(*tokens) == pytest.approx(usd)

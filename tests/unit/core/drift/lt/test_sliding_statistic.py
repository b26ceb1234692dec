"""The sliding statistic: equal to the batch statistic at every row, and of bounded size."""

from __future__ import annotations

import pytest

from streams.core.drift.lt.lt_detector import lt_statistic
from streams.core.drift.lt.sliding_statistic import SlidingStatistic
from streams.core.drift.row import ProbeRow
from streams.sandbox.simulated_probes import Endpoint, usable_rows


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint(),
        Endpoint(sigma=0.5),
        Endpoint(k_at=90),
        Endpoint(k=5, k_at=90, k_after=20),
        Endpoint(sigma=0.0),
        Endpoint(change_at=100, change_rms=3.0, missing=0.1),
    ],
)
def test_equals_the_batch_statistic_at_every_row(endpoint: Endpoint) -> None:
    rows = usable_rows(endpoint, 200, seed=3)
    sliding = SlidingStatistic(24)
    for end, row in enumerate(rows, start=1):
        sliding.push(row)
        assert sliding.full == (end >= 48)
        if sliding.full:
            a, b = rows[end - 48 : end - 24], rows[end - 24 : end]
            assert sliding.value == pytest.approx(lt_statistic(a, b), abs=1e-9)


def test_it_depends_on_the_rows_in_its_windows_alone_to_the_last_bit() -> None:
    rows = usable_rows(Endpoint(sigma=0.3, k_at=100), 300, seed=4)
    through = SlidingStatistic(24)
    for end, row in enumerate(rows, start=1):
        through.push(row)
        if end in {48, 77, 110, 148, 250, 300}:
            fresh = SlidingStatistic(24)
            for one in rows[end - 48 : end]:
                fresh.push(one)
            assert fresh.value == through.value


def test_new_tokens_in_every_row_take_no_more_and_more_room() -> None:
    sliding = SlidingStatistic(8)
    sizes = set()
    for index in range(2000):
        sliding.push(ProbeRow((f"a{index}", f"b{index}"), (-1.0, -2.0)))
        sizes.add(len(sliding._column))
    assert max(sizes) <= 2 * 2 * 16
    assert sliding.value == pytest.approx(lt_statistic(list(sliding.rows)[:8], list(sliding.rows)[8:]), abs=1e-9)

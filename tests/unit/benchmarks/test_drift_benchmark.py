"""What the benchmark compares does the same thing in every way, and its tables count what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift import quality, speed, stopwatch
from streams.core.drift import DETECTORS, permutation_tests
from streams.core.drift.lt.lt_detector import pooled_matrix
from streams.sandbox.simulated_probes import Endpoint, usable_rows


@pytest.mark.parametrize("seed", [0, 2])
def test_every_way_of_the_permutation_test_gives_the_same_p_value(seed: int) -> None:
    rows = usable_rows(speed.WIDE, 2 * speed.N, seed)
    a, b = rows[: speed.N], rows[speed.N :]
    [ours] = permutation_tests([(a, b)], 4000, seed=1)
    pooled, rng = pooled_matrix(a, b), np.random.default_rng(1)
    assert speed.scipy_p_value(pooled, rng) == pytest.approx(ours.p_value, abs=0.04)
    assert speed.looped_p_value(pooled, rng) == pytest.approx(ours.p_value, abs=0.04)


def test_tables_count_alarms_before_and_after_the_change() -> None:
    effort = quality.Effort(rows=250, quiet=1, changed=1, again=1)
    assert quality.quietness(Endpoint(rho=0.0), effort) == dict.fromkeys(DETECTORS, quality.Quietness(0, 250))
    found = quality.power(Endpoint(rho=0.0, change_rms=3.0), effort)
    assert found.keys() == DETECTORS.keys()
    for each in found.values():
        assert (each.caught, each.changes) == (1, 1)
        assert each.median_delay is not None
        assert 0 <= each.median_delay <= 24


def test_a_series_counts_if_its_changes_are_named_as_wanted_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "TWELVE", (Endpoint(), Endpoint(rho=0.0)))
    effort = quality.Effort(rows=250, quiet=1, changed=1, again=1)
    found = {
        "lt-ref": [(301, "change"), (341, "returned")],
        "lt": [(341, "change"), (381, "returned")],
        "river-page-hinkley": [(290, "change"), (301, "change"), (341, "change")],
    }
    monkeypatch.setattr(quality, "kinds", lambda *_: found)
    named = {what: {name for name, each in row.items() if each.named} for what, row in quality.again(effort).items()}
    assert named == {"two changes": set(), "returned": {"lt-ref"}, "alternating, six swaps": set()}


def test_time_without_other_work_is_that_by_the_clock_less_the_wait_for_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = tmp_path / "schedstat"
    queued.write_text("5000000000 2000000000 7\n")
    monkeypatch.setattr(stopwatch, "_QUEUED", queued)
    running = stopwatch.Stopwatch()
    queued.write_text("6000000000 3500000000 8\n")
    spent = running.read()
    assert spent.queued == 1.5
    assert spent.alone == spent.wall - 1.5

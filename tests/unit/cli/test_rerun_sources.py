"""Which tickets of a source an operator means."""

from __future__ import annotations

import pytest

from streams.cli.rerun_sources import Wanted


@pytest.mark.parametrize(
    ("reason", "wanted", "fits"),
    [
        ("policy_stale", "policy_stale", True),
        ("cheap:policy_stale", "policy_stale", True),
        ("big:no_signal:no_answer", "no_signal", True),
        ("big:no_signal:no_answer", "no_signal:no_answer", True),
        ("big:no_signal:no_answer", "big:no_answer", False),
        ("not_policy_stale", "policy_stale", False),
        ("policy_stale", "cheap:policy_stale", False),
    ],
)
def test_a_reason_fits_whole_or_by_its_parts(reason: str, wanted: str, fits: bool) -> None:
    assert Wanted(reasons=[wanted]).fits("t", ["other", reason], 0) is fits


def test_a_ticket_has_to_fit_one_option_of_each_kind() -> None:
    wanted = Wanted(reasons=["a", "b"], ticket_ids=["t", "u"], since_ms=10)
    assert wanted.fits("u", ["b"], 10)
    assert not wanted.fits("v", ["b"], 10)
    assert not wanted.fits("u", ["c"], 10)
    assert not wanted.fits("u", ["b"], 9)
    assert Wanted().fits("any", [], 0)

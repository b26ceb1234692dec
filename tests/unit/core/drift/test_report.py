"""The table of changes by provider."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streams.core.drift import read_row
from streams.core.drift.report import YEAR_S, DriftReport, ProviderRow
from streams.sandbox.simulated_probes import Endpoint, probe_rows


def reported(*rows: object, providers: dict[str, str] | None = None) -> dict[str, ProviderRow]:
    report = DriftReport("lt-ref", providers)
    for row in rows:
        report.feed(read_row(row))
    return {line.provider: line for line in report.table()}


def test_changes_years_and_cost_by_provider() -> None:
    changed = [row | {"cost_usd": 2e-6} for row in probe_rows(Endpoint(change_at=150, change_rms=2.0), 300, 1, "one")]
    quiet = probe_rows(Endpoint(), 200, 2, "two") + probe_rows(Endpoint(), 100, 3, "three")
    table = reported(*changed, *quiet, providers={"one": "A", "two": "B", "three": "B"})
    assert list(table) == ["A", "B", "all"]
    a, b, everything = table.values()
    years = 299 * 3600 / YEAR_S
    assert a == ProviderRow("A", 1, pytest.approx(years), 300, 1, pytest.approx(1 / years), pytest.approx(6e-4 / years))
    assert (b.endpoints, b.probes, b.changes, b.usd_per_year) == (2, 300, 0, None)
    assert b.changes_per_year == 0
    assert (everything.endpoints, everything.changes) == (3, 1)
    assert everything.years == pytest.approx(a.years + b.years)


def test_the_rows_may_name_their_provider() -> None:
    rows = [row | {"provider": "C"} for row in probe_rows(Endpoint(), 3, 1, "one")]
    assert list(reported(*rows, providers={"one": "A"})) == ["C"]
    assert list(reported(*probe_rows(Endpoint(), 3, 1, "one"))) == ["unknown"]


def test_one_event_is_one_change_however_it_shows() -> None:
    rows = probe_rows(Endpoint(change_at=150, change_rms=2.0), 300, 1, "one")
    renamed = [row | {"model": "a" if index < 150 else "b"} for index, row in enumerate(rows)]
    assert reported(*renamed)["unknown"].changes == 1


def test_a_return_is_a_change_and_so_is_the_alternation_once() -> None:
    rows = probe_rows(Endpoint(change_at=150, change_rms=0.3, swap_every=40), 400, 1, "one")
    assert reported(*rows)["unknown"].changes == 3


@pytest.mark.parametrize(
    "times",
    [
        (0, 3600),
        (1_700_000_000.0, 1_700_003_600.0),
        (1_700_000_000_000, 1_700_003_600_000),
        ("2026-01-01T00:00:00", "2026-01-01T01:00:00+00:00"),
        (datetime(2026, 1, 1, tzinfo=UTC).isoformat(), "2026-01-01T01:00:00Z"),
    ],
)
def test_times_in_any_writing(times: tuple[object, object]) -> None:
    rows = [{"endpoint": "one", "at": at, "logprobs": None, "error": None} for at in times]
    assert reported(*rows)["unknown"].years * YEAR_S == pytest.approx(3600)


def test_nothing_that_a_row_holds_stops_it() -> None:
    odd = [None, 7, "text", [], {}, {"endpoint": 5}, {"endpoint": "one", "at": {}, "cost_usd": "much", "provider": 3}]
    table = reported(*odd)
    assert table == {"unknown": ProviderRow("unknown", 1, 0.0, 1, 0, None, None)}
    assert reported() == {}

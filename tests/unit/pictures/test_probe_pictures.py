"""The picture of probes over time: dates, the statistic beside its threshold, named alarms."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from streams.core.drift import read_row
from streams.core.drift.history import History, histories
from streams.errors import SettingsError
from streams.pictures.canvas import BLACK, COLOURS
from streams.pictures.probe_pictures import _STYLES, MAX_ENDPOINTS, _spread, draw_probes
from streams.sandbox.simulated_probes import Endpoint, probe_rows

START_S = 1_790_000_000


def drawn(folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Return the texts of the picture."""
    draw_probes(histories(map(read_row, rows), "lt-ref"), "lt-ref", folder / "p.svg")
    return re.findall(r"<text[^>]*>([^<]*)</text>", (folder / "p.svg").read_text())


def later(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"at": row["at"] + START_S} for row in rows]


def test_a_change_is_dated_and_named_beside_the_threshold(tmp_path: Path) -> None:
    shown = drawn(tmp_path, later(probe_rows(Endpoint(change_at=150, change_rms=2.0), 200, 1, "one")))
    assert "one: 200 probes, 1 alarm by lt-ref" in shown
    assert "time, UTC" in shown
    assert "threshold" in shown
    assert "not enough probes yet" in shown
    [alarm] = [text for text in shown if text.startswith("1: ")]
    assert re.fullmatch(r"1: change, 2026-09-27 \d\d:13", alarm)


def test_rows_without_dates_are_numbered(tmp_path: Path) -> None:
    for rows in (
        probe_rows(Endpoint(k_at=120), 130, 1),
        [row | {"at": None} for row in probe_rows(Endpoint(k_at=120), 130, 1)],
        [row | {"at": 1e300} for row in probe_rows(Endpoint(k_at=120), 130, 1)],
    ):
        shown = drawn(tmp_path, rows)
        assert "row" in shown
        assert "1: k change, row 122" in shown


def test_endpoints_are_drawn_one_below_the_other(tmp_path: Path) -> None:
    one, two = (probe_rows(Endpoint(), 30, seed, name) for seed, name in ((1, "one"), (2, "two")))
    shown = drawn(tmp_path, one + two)
    assert "one: 30 probes, 0 alarms by lt-ref" in shown
    assert "two: 30 probes, 0 alarms by lt-ref" in shown


def test_more_alarms_than_the_legend_has_room_for_are_counted(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for place in range(12):
        rows += [row | {"model": f"m{place}"} for row in probe_rows(Endpoint(), 10, 1)]
    shown = drawn(tmp_path, [row | {"at": place} for place, row in enumerate(rows)])
    assert "and 1 more" in shown
    assert sum(bool(re.match(r"\d+: ", text)) for text in shown) == 8


def test_names_of_any_characters(tmp_path: Path) -> None:
    odd = {"\x07": -0.5, "<&\ud800": -1.0, "": -3.0, "$x$": -4.0, "退": -5.0}
    row = {"endpoint": "<one>\x00\ud800 $a$", "at": 0, "logprobs": odd, "error": None}
    shown = drawn(tmp_path, [row, row])
    assert "'$x$'" in shown
    assert any(text.startswith("&lt;one&gt;\ufffd\ufffd $a$: 2 probes") for text in shown)


def test_an_endpoint_without_a_single_sample_is_an_empty_chart(tmp_path: Path) -> None:
    shown = drawn(tmp_path, [{"endpoint": "one", "at": 0, "logprobs": None, "error": "timeout"}])
    assert "one: 0 probes, 0 alarms by lt-ref" in shown
    assert "no logprobs" in shown


def test_a_probe_alone_is_drawn_as_points_within_its_hours(tmp_path: Path) -> None:
    shown = drawn(tmp_path, later(probe_rows(Endpoint(), 1, 1, "one")))
    assert "one: 1 probe, 0 alarms by lt-ref" in shown
    assert "2026-Sep-21" in shown
    assert not [text for text in shown if re.fullmatch(r"20\d\d", text)], "the axis spans no years"
    points = set(re.findall(r"<use [^>]*fill: (#[0-9a-f]{6})", (tmp_path / "p.svg").read_text()))
    assert points >= {colour.lower() for colour in COLOURS if colour != BLACK}, "an SVG does not name black"


def test_too_many_endpoints_are_refused(tmp_path: Path) -> None:
    many = [History(str(number)) for number in range(MAX_ENDPOINTS + 1)]
    with pytest.raises(SettingsError, match=r"41 endpoints are too many for one picture \(at most 40\)"):
        draw_probes(many, "lt-ref", tmp_path / "p.svg")


SWAPS = later(probe_rows(Endpoint(change_at=120, change_rms=1.0, swap_every=40), 230, 1, "swaps"))


def test_what_came_back_is_dated_and_references_are_shaded(tmp_path: Path) -> None:
    shown = drawn(tmp_path, SWAPS)
    assert {"reference that is back", "since the change", "statistic", "threshold", "alarm"} <= set(shown)
    [returned] = [text for text in shown if text.startswith("2: ")]
    assert re.fullmatch(r"2: returned, 2026-09-2\d \d\d:13, as 2026-09-21 14:13 to 2026-09-2\d \d\d:13", returned)


def test_the_likeliest_tokens_are_named_once_where_their_lines_end(tmp_path: Path) -> None:
    shown = drawn(tmp_path, SWAPS)
    assert sorted(text for text in shown if text.startswith("'token")) == [f"'token{number}'" for number in range(8)]
    assert len(set(_STYLES)) == 8, "each can be told from the others in grey"


def test_names_are_spread_within_the_chart_and_keep_their_order() -> None:
    heights = _spread([-5.0, -4.99, -4.98, -1.0, -0.9], -5.0, 0.0)
    assert heights == sorted(heights)
    assert min(later - before for before, later in itertools.pairwise(heights)) == pytest.approx(0.35)
    assert _spread([-0.02, -0.01, 0.0], -5.0, 0.0) == pytest.approx([-0.7, -0.35, 0.0])
    assert _spread([], 0.0, 1.0) == []


def test_one_alarm_is_drawn_with_the_rows_around_it(tmp_path: Path) -> None:
    histories_ = histories(map(read_row, SWAPS), "lt-ref")
    assert len(histories_[0].alarms) > 1
    draw_probes(histories_, "lt-ref", tmp_path / "p.svg", alarm=1)
    assert "3: alternating" not in (tmp_path / "p.svg").read_text()
    with pytest.raises(SettingsError, match="swaps has 3 alarms, and no alarm 4"):
        draw_probes(histories_, "lt-ref", tmp_path / "p.svg", alarm=4)

"""The pictures of a calibration show its figures, and say which policy was chosen and why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.core.calibration.calibration_report import report
from streams.core.calibration.selection import select
from streams.pictures.calibration_pictures import PICTURES, draw_calibration
from tests.support.answers import PROMISE, records, underconfident

REPORT = report(select(records(700, worth=underconfident), PROMISE), PROMISE)


def texts(path: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    draw_calibration(REPORT, folder)
    return folder


def test_there_are_three(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.svg" for name in PICTURES]


def test_each_tier_has_its_calibration_error_before_and_after(folder: Path) -> None:
    for tier in ("cheap", "big"):
        before, after = (REPORT["tiers"][tier][stage]["ece"] for stage in ("before", "after"))
        assert f"{tier} tier: ECE {before:.3f} before, {after:.3f} after" in texts(folder / "reliability.svg")


def test_the_chosen_policy_is_marked_with_the_reason(folder: Path) -> None:
    shown = texts(folder / "sweep.svg")
    assert "chosen: the cheapest whose bound keeps the promise" in shown
    [chosen] = [row for row in REPORT["trade"] if row["chosen"]]
    assert f"chosen: {chosen['review_rate']:.1%} in review, {chosen['saving']:.0%} saved" in shown
    assert ("the first that breaks it ends the search" in shown) is not REPORT["path"][-1]["passed"]


def test_axes_are_in_round_percentages(folder: Path) -> None:
    for name in PICTURES:
        ticks = [text for text in texts(folder / f"{name}.svg") if re.fullmatch(r"[\d.]+%", text)]
        assert ticks
        assert all(len(text.strip("%0.")) <= 2 for text in ticks), ticks


def test_a_knee_is_marked(tmp_path: Path) -> None:
    rows = [
        {"review_rate": share, "saving": saving, "saving_per_review": None, "chosen": share == 0, "knee": share == 0.1}
        for share, saving in ((0.0, 0.3), (0.1, 0.8), (0.2, 0.81))
    ]
    draw_calibration(REPORT | {"trade": rows}, tmp_path, only=["sweep"])
    assert "beyond this, review saves little: 10.0% in review, 80% saved" in texts(tmp_path / "sweep.svg")


def test_a_tier_without_answers_has_an_empty_chart(tmp_path: Path) -> None:
    nothing = {"before": {"answers": 0}, "after": {"answers": 0}}
    draw_calibration(REPORT | {"tiers": {"cheap": nothing, "big": nothing}}, tmp_path, "png")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.png" for name in PICTURES]

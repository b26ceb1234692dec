"""The benchmark's small setting from nothing: every figure is there, the same seed gives the same rows."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks.tinychange.__main__ import main
from benchmarks.tinychange.recording import Recording
from benchmarks.tinychange.sizes import SMALL
from benchmarks.tinychange.small.subject import SmallSubject
from benchmarks.tinychange.variants import Family


def test_the_small_setting_runs_from_nothing_and_the_same_way_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    asked = ["--setting", "small", "--cache", str(cache)]
    outputs = ["--json", str(tmp_path / "a.json"), "--report", str(tmp_path / "a.md"), "--pictures", str(tmp_path)]
    figures = main([*asked, *outputs])
    assert "74 of 74" in capsys.readouterr().err

    assert figures["missing"] == []
    assert {one["family"] for one in figures["variants"]} == set(Family) - {Family.STEPS}
    assert "stand-in" in figures["subject"]
    everything = {name: one["all"]["value"] for name, one in figures["detectors"].items()}
    assert min(everything["Mahalanobis"], everything["LT"]) > everything["questions"]
    for one in figures["detectors"].values():
        assert one["all"]["low"] <= one["all"]["value"] <= one["all"]["high"]
        assert one["families"].keys() == set(Family) - {Family.STEPS}
        # A model that is nothing but noise is seen by everybody, the model itself by nobody.
        assert one["variants"]["noise-2-0"] > 0.9
    assert figures["online"]["lt-ref"]["false_alarms"] == 0

    written = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert "| LT |" in written
    assert "stand-in" in written
    assert orjson.loads((tmp_path / "a.json").read_bytes())["hard"] == figures["hard"]
    for picture in ("tinychange_edits.svg", "tinychange_training.svg", "tinychange_cost.svg"):
        assert ET.parse(tmp_path / picture).getroot().tag.endswith("svg")

    # From nothing again: the same model, the same change, the same draws.
    subject = SmallSubject(0, SMALL)
    variant = next(one for one in subject.variants if one.name == "LoRA-8-steps")
    kept, again = Recording.load(next(cache.glob("small-*/LoRA-8-steps.npz"))), subject.record(variant)
    assert again.rows == kept.rows
    assert np.array_equal(again.completions, kept.completions)
    assert np.array_equal(again.right, kept.right)

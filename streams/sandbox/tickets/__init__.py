"""The sample tickets that come with the sandbox: invented customer messages, one JSON object a line, UTF-8."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["CALIBRATION", "DEMO", "TRAIN"]

_HERE = Path(str(files(__name__)))

TRAIN: Path = _HERE / "train.jsonl"
"""Labelled tickets that the sandbox models learn from."""

CALIBRATION: Path = _HERE / "calibration.jsonl"
"""Tickets that the demo's policy is calibrated on; no model has learnt from them."""

DEMO: Path = _HERE / "demo.jsonl"
"""Tickets to stream; neither a model nor a policy has seen them. Those out of scope carry no label."""

"""The sample tickets that come with the sandbox: invented customer messages, one JSON object a line, UTF-8."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["DEMO", "TRAIN"]

_HERE = Path(str(files(__name__)))

TRAIN: Path = _HERE / "train.jsonl"
"""240 labelled tickets, 40 for each of the six labels: what the sandbox models learn from."""

DEMO: Path = _HERE / "demo.jsonl"
"""120 tickets to stream, in mixed order, each with its slice; 12 of them are out of scope and carry no label."""

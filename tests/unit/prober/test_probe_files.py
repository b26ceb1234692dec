"""Probe rows from a file, whatever stands in it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from streams.errors import SettingsError
from streams.prober.probe_files import as_row, read_rows
from tests.support.messages import probe


def test_each_line_is_a_row_and_what_is_no_json_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"endpoint": "a", "at": 1}\n\n  \nnonsense\n[1]\n{"logprobs": {"x": NaN, "y": -Infinity}}\n\xff\n'
    )
    *rows, odd, last = read_rows(path)
    assert rows == [{"endpoint": "a", "at": 1}, None, [1]]
    assert isinstance(odd, dict)
    assert math.isnan(odd["logprobs"]["x"])
    assert odd["logprobs"]["y"] == -math.inf
    assert last is None


def test_a_file_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.jsonl: No such file"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_messages_of_the_topic_are_rows_too() -> None:
    message: dict[str, Any] = json.loads(probe(model_returned="m-1").encode())
    row = as_row(message)
    assert isinstance(row, dict)
    assert (row["at"], row["model"], row["logprobs"]) == (message["at_ms"], "m-1", {"a": -0.5, "b": -1.5})
    assert as_row({"endpoint": "a", "at": 5, "at_ms": 6}) == {"endpoint": "a", "at": 5, "at_ms": 6}

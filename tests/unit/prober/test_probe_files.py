"""Probe rows from a file, whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.core.drift.row import ProbeFacts, ProbeRow, Reason, Unusable
from streams.errors import SettingsError
from streams.prober.probe_files import read_rows
from tests.support.messages import probe


def test_each_line_is_a_row_and_what_is_no_json_is_a_malformed_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"endpoint": "a", "at": 1}\n\n  \nnonsense\n[1]\n{"logprobs": {"x": NaN, "y": -Infinity}}\n\xff\n'
        b'{"endpoint": "a", "at": 2, "logprobs": {"x": -1, "y": -Infinity}}\n'
    )
    *odd, last = read_rows(path)
    malformed = Unusable(Reason.MALFORMED)
    missing = Unusable(Reason.MISSING, ProbeFacts("a", 1, 1.0))
    assert odd == [missing, malformed, malformed, Unusable(Reason.NOT_FINITE), malformed]
    assert last == ProbeRow(("x",), (-1.0,), ProbeFacts("a", 2, 2.0))


def test_a_file_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.jsonl: No such file"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_messages_of_the_topic_are_rows_too(tmp_path: Path) -> None:
    message = probe(model_returned="m-1")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(message.encode() + b"\n")
    assert list(read_rows(path)) == [ProbeRow.of(message)]

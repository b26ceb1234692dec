from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import SettingsError
from streams.evaluation import RecordFile, read_records
from tests.support.answers import records

ROWS = records(4)


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordFile(path) as file:
        file.add(ROWS[0])
    with RecordFile(path) as file:
        assert file.records == ROWS[:1]
        file.add(ROWS[1])
        assert file.records == ROWS[:2]
        assert read_records(path) == ROWS[:2], "a record is in the file when add returns"


def test_a_line_that_a_crash_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    whole = ROWS[0].model_dump_json().encode() + b"\n"
    path.write_bytes(whole + whole[:50])
    with RecordFile(path) as file:
        assert file.records == ROWS[:1]
        file.add(ROWS[1])
    assert read_records(path) == ROWS[:2]


def test_opening_alone_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"precious notes, no records\n")
    with pytest.raises(SettingsError, match=r"line 1 of .*r.jsonl is not a record"):
        RecordFile(path)
    assert path.read_bytes() == b"precious notes, no records\n"


@pytest.mark.parametrize("content", [None, b"", b"\n\n"])
def test_a_file_without_records_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"records file .*r.jsonl: (no records|No such file)"):
        read_records(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"), RecordFile(tmp_path / "no" / "r.jsonl"):
        pass

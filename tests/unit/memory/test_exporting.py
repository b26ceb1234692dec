"""What is exported is loaded as it was."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from schemas import Example
from streams.errors import SettingsError
from streams.files import line_file
from streams.memory.exporting import write_rows
from streams.memory.labelled_rows import labelled_rows
from streams.memory.loading import changes, read_rows
from tests.support.messages import example

STRANGE = '\ufeff "quoted", \ttabbed\r\nand\rbroken\n\x00\x1b[2J;=1+1 \U0001f642 \u2028'
EXAMPLES = [
    example("t-1", slice="plain"),
    example("t-2", text=STRANGE, label=None),
    example(Example.id_for(None, "no ticket"), ticket_id=None, text="no ticket"),
    example("t-4", text=" 1,000 ", source="verdict", by="eve", at_ms=7),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".TSV"])
def test_it_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"memory{suffix}"
    write_rows(path, EXAMPLES)
    with line_file(path, "memory") as lines:
        rows = read_rows(labelled_rows(path, lines), ("refund",), ())
    assert rows.refusals.count == 0
    found = changes(rows.by_id.values(), {each.example_id: each for each in EXAMPLES}.get)
    assert (found.same, found.all) == (len(EXAMPLES), [])


def test_a_file_is_replaced_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        write_rows(path, (each if each.ticket_id else broken() for each in EXAMPLES))
    assert path.read_text() == "before"
    write_rows(path, EXAMPLES)
    assert path.read_bytes().count(b"\n") == len(EXAMPLES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def broken() -> Example:
    raise RuntimeError


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere.*memory\.csv: No such file or directory"):
        write_rows(tmp_path / "nowhere" / "memory.csv", EXAMPLES)

"""Sentences on a terminal: continued under themselves, words whole."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from streams.cli.terminal import hanging

TEXT = "see what it does with other records: hedgerow whatif RECORDS --policy /a/long/path/to/policy.yaml, 顧客からの票"


def console(width: int, *, terminal: bool) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, _environ={})


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_sentence_goes_on_under_its_own_beginning(width: int) -> None:
    first, *others = hanging("ok   settings  ", TEXT, console(width, terminal=True)).split("\n")
    assert first.startswith("ok   settings  see what")
    assert others
    assert all(line.startswith(" " * 15) for line in others)
    assert " ".join(line[15:] for line in (first, *others)) == TEXT
    assert [line for line in (first, *others) if cell_len(line) > width] == (
        [" " * 15 + "/a/long/path/to/policy.yaml,"] if width == 40 else []
    )


def test_a_pipe_gets_one_line_and_columns_give_it_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hanging("next: ", TEXT, console(40, terminal=False)) == f"next: {TEXT}"
    monkeypatch.setenv("COLUMNS", "40")
    assert len(hanging("next: ", TEXT, console(40, terminal=False)).split("\n")) > 2

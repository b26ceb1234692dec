"""An event as text: one line, but where a terminal is too narrow for it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from streams.observability.logs import PlainLines

EVENT = {
    "timestamp": "2026-11-27T12:00:00Z",
    "level": "info",
    "event": "worker ready",
    "agents": "classify, score, escalate, review, settle",
    "broker": "127.0.0.1:9092",
    "path": "/a" * 50,
}


def rendered(width: int, *, terminal: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, _environ={})
    return PlainLines(console)(None, "info", dict(EVENT)).split("\n")


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_terminal_gets_lines_of_its_width_and_no_word_is_broken(width: int) -> None:
    first, *others = rendered(width, terminal=True)
    assert first.startswith("2026-11-27T12:00:00Z [info     ] worker")
    assert all(line.startswith("    ") for line in others)
    assert " ".join(" ".join([first, *others]).split()) == " ".join(rendered(width, terminal=False)[0].split())
    assert [line for line in [first, *others] if len(line) > width] == [f"    path={'/a' * 50}"]


def test_a_pipe_gets_one_line() -> None:
    assert len(rendered(40, terminal=False)) == 1

"""Text from outside, made fit for a terminal."""

from __future__ import annotations

import os

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

#: The width if there is no terminal, as in a pipe; COLUMNS names another one.
_PIPE_WIDTH = 160


def plain(text: str) -> str:
    """Return the text without the characters that a terminal obeys: an escape sequence in a ticket is data.

    Line breaks and tabs stay; what is left out shows as U+FFFD.
    """
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def one_line(text: str) -> str:
    """Return the text as one line of `plain` text, each run of white space one space."""
    return plain(" ".join(text.split()))


def cut(text: str, width: int) -> str:
    """Return the text in at most ``width`` cells (a wide character has two), with "…" in place of what is left out."""
    if cell_len(text) <= width:
        return text
    shown = Text(text)
    shown.truncate(width, overflow="ellipsis")
    return shown.plain


def width_of(console: Console) -> int:
    """Return the terminal's width in cells; in a pipe that of COLUMNS, else 160."""
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console.width
    return _PIPE_WIDTH

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


def hanging(head: str, text: str, console: Console) -> str:
    """Return text after its head, continued under its own beginning if the terminal is too narrow; one line in a pipe.

    Words stay whole, so that a path or a command can be copied.
    """
    if console.is_terminal or _columns_are_set():
        indent, room = cell_len(head), console.width
        lines = [head]
        for number, word in enumerate(text.split(" ")):
            longer = f"{lines[-1]}{' ' if number else ''}{word}"
            if number and cell_len(longer) > room:
                lines.append(" " * indent + word)
            else:
                lines[-1] = longer
        return "\n".join(lines)
    return head + text


def width_of(console: Console) -> int:
    """Return the terminal's width in cells; in a pipe that of COLUMNS, else 160."""
    if console.is_terminal or _columns_are_set():
        return console.width
    return _PIPE_WIDTH


def _columns_are_set() -> bool:
    return os.environ.get("COLUMNS", "").isdigit()

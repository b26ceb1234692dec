"""Tables for a terminal of any width: ids, labels and numbers stay whole, text is what gives way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from streams.cli.terminal import cut, hanging, one_line, width_of

_GAP = 2
#: A column that gives way keeps at least this many cells.
_LEAST = 16


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its header, and what happens to its values if the terminal is too narrow.

    ``keep`` leaves them whole, ``cut`` shortens each to one line, ``wrap`` continues it on the next lines.
    """

    name: str
    fit: Literal["keep", "cut", "wrap"] = "keep"
    right: bool = False


def show_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str | None]],
    *,
    title: str = "",
    styles: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print a table; if even its shortest form is too wide, print each row as lines of ``name  value``.

    Values are data: what a terminal would obey is left out of them. None shows as "-". ``styles`` has a style a row.
    """
    console = console or Console()
    cells = [["-" if value is None else one_line(value) for value in row] for row in rows]
    width = width_of(console)
    widths = _widths(columns, cells, width)
    lines = _blocks(columns, cells, width) if widths is None else _table(columns, cells, widths)
    if title:
        _print(console, hanging("", one_line(title), console), "bold")
    for number, line in lines:
        style = styles[number] if 0 <= number < len(styles) else ""
        _print(console, line, style or ("bold" if number < 0 else ""))


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return the columns' widths, the widest text shortened first; None if they do not fit."""
    headers = [cell_len(column.name) for column in columns]
    widths = [max([least, *(cell_len(row[at]) for row in cells)]) for at, least in enumerate(headers)]
    giving = [at for at, column in enumerate(columns) if column.fit != "keep"]
    while (over := sum(widths) + _GAP * (len(columns) - 1) - width) > 0:
        giving = [at for at in giving if widths[at] > max(_LEAST, headers[at])]
        if not giving:
            return None
        widest = max(giving, key=lambda at: widths[at])
        others = [widths[at] for at in giving if widths[at] < widths[widest]]
        floor = max([_LEAST, headers[widest], *others])
        widths[widest] = max(widths[widest] - over, min(floor, widths[widest] - 1))
    return widths


def _table(columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[tuple[int, str]]:
    lines = []
    if any(column.name for column in columns):
        lines.append((-1, _line(columns, [column.name for column in columns], widths)))
    for number, row in enumerate(cells):
        parts = [_parts(column, value, room) for column, value, room in zip(columns, row, widths, strict=True)]
        for at in range(max(map(len, parts))):
            lines.append((number, _line(columns, [part[at] if at < len(part) else "" for part in parts], widths)))
    return lines


def _line(columns: Sequence[Column], values: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for column, value, room in zip(columns, values, widths, strict=True):
        spaces = " " * (room - cell_len(value))
        padded.append(spaces + value if column.right else value + spaces)
    return (" " * _GAP).join(padded).rstrip()


def _blocks(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[tuple[int, str]]:
    named = max(cell_len(column.name) for column in columns)
    lines = []
    for number, row in enumerate(cells):
        if number:
            lines.append((number, ""))
        for column, value in zip(columns, row, strict=True):
            for at, part in enumerate(_parts(column, value, max(_LEAST, width - named - _GAP))):
                name = column.name if at == 0 else ""
                lines.append((number, f"{name}{' ' * (named - cell_len(name) + _GAP)}{part}".rstrip()))
    return lines


def _parts(column: Column, value: str, room: int) -> list[str]:
    """Return a value's lines in this many cells."""
    if column.fit == "keep" or cell_len(value) <= room:
        return [value]
    if column.fit == "cut":
        return [cut(value, room)]
    return [line.plain.rstrip() for line in Text(value).wrap(Console(width=room), room)]


def _print(console: Console, line: str, style: str) -> None:
    # soft_wrap: a line that is too long is the terminal's to wrap, so that an id in it can still be copied whole.
    console.print(Text(line, style=style), soft_wrap=True, highlight=False)

"""Tables that keep ids and labels whole at any width: text is what is cut."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_LEAST = 12


def show_table(table: Table, console: Console | None = None, *, text: str = "") -> None:
    """Print the table; only the column named ``text`` gives way, and lines longer than the terminal are left to wrap."""
    console = console or Console()
    wide = console.options.update(max_width=1_000_000)
    widths = {}
    for column in table.columns:
        cells = [column.header, *column.cells]
        widths[column.header] = max(Measurement.get(console, wide, cell or "").maximum for cell in cells)
        column.no_wrap = True
        column.min_width = widths[column.header]
    frame = 3 * len(table.columns) + 1
    for column in table.columns:
        if text and column.header == text:
            room = console.width - frame - sum(widths.values()) + widths[text]
            widths[text] = min(widths[text], max(room, _LEAST, cell_len(text)))
            column.min_width = column.max_width = widths[text]
            column.overflow = "ellipsis"
    before = console.width
    console.width = max(before, frame + sum(widths.values()))
    console.print(table, crop=False, soft_wrap=False)
    console.width = before

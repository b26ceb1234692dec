"""Tables at any width: ids and labels stay whole, text is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from streams.cli.tables import show_table


@pytest.mark.parametrize("width", [40, 80, 200])
def test_ids_and_labels_stay_whole(width: int) -> None:
    ticket, label, text = "ticket-" + "7" * 40, "label_" + "x" * 30, "lost card " * 60
    table = Table(title="2 waiting")
    for name in ("ticket", "suggested", "text"):
        table.add_column(name)
    table.add_row(ticket, label, text)
    out = io.StringIO()
    show_table(table, Console(file=out, width=width), text="text")
    [row] = [line for line in out.getvalue().splitlines() if "ticket-" in line]
    assert ticket in row
    assert label in row
    assert "lost card" in row
    assert text not in row
    if width == 200:
        assert len(row) <= width

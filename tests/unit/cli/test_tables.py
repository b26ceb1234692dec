"""Tables at any width: ids, labels and numbers stay whole, text is what is cut."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from streams.cli.tables import Column, show_table

COLUMNS = (
    Column("ticket"),
    Column("nats", right=True),
    Column("suggested"),
    Column("why", "cut"),
    Column("text", "cut"),
)
WIDTHS = [40, 80, 160, 200]
TEXT = "lost card, lost pin, lost patience " * 20


def printed(
    columns: tuple[Column, ...],
    *rows: tuple[str | None, ...],
    width: int | None = None,
    title: str = "",
    styles: tuple[str, ...] = (),
    colour: bool = False,
) -> str:
    """What a terminal of this width shows; without a width, what a pipe receives."""
    out = io.StringIO()
    system = "standard" if colour else None
    console = Console(file=out, width=width, force_terminal=width is not None, color_system=system, _environ={})
    show_table(columns, rows, title=title, styles=styles, console=console)
    return out.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("ticket", ["t-1", "顧客からの票-42", "🎫-🎫-7", "ticket-" + "7" * 20])
def test_ids_and_labels_stay_whole_and_lines_fit(width: int, ticket: str) -> None:
    shown = printed(COLUMNS, (ticket, "1.39", "卡丢了", "cheap:low_confidence, big:tiers_disagree", TEXT), width=width)
    assert ticket in shown
    assert "卡丢了" in shown
    assert "1.39" in shown
    assert "lost card" in shown
    assert TEXT not in shown
    assert max(map(cell_len, shown.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_an_id_that_is_wider_than_the_terminal_is_still_whole(width: int) -> None:
    long_id = "id-" + "x" * 250
    shown = printed(COLUMNS, (long_id, "1.39", "refund", "", TEXT), width=width)
    assert long_id in shown
    others = [line for line in shown.splitlines() if long_id not in line]
    assert max(map(cell_len, others)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_columns_stand_under_each_other_also_with_wide_characters(width: int) -> None:
    columns = (Column("label"), Column("text", "cut"))
    shown = printed(columns, ("返金", "短い"), ("refund", "👩 " * 90), ("配送の遅れ", TEXT), width=width)
    starts = {cell_len(line[: line.index(word)]) for line, word in zip(
        shown.splitlines(), ("text", "短い", "👩", "lost"), strict=True
    )}  # fmt: skip
    assert starts == {len("配送の遅れ") * 2 + 2}


def test_numbers_end_under_each_other() -> None:
    lines = printed((Column("n", right=True),), ("1",), ("1000",), width=80).splitlines()
    assert lines == ["   n", "   1", "1000"]


def test_a_pipe_receives_whole_lines_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    label = "label-" + "y" * 60
    shown = printed(COLUMNS, ("t-1", "1.39", label, "audit", TEXT), title="1 waiting", styles=("red",))
    title, header, row = shown.splitlines()
    assert title == "1 waiting"
    assert header.split() == ["ticket", "nats", "suggested", "why", "text"]
    assert row.startswith(f"t-1     1.39  {label}  audit  lost card")
    assert row.endswith("…")
    assert len(row) == 160


def test_columns_of_the_environment_set_the_width_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    show_table(COLUMNS, [("t-1", "1.39", "refund", "audit", TEXT)], console=Console(file=out))
    assert max(map(len, out.getvalue().splitlines())) == 60


def test_the_widest_text_is_cut_first() -> None:
    columns = (Column("id"), Column("why", "cut"), Column("text", "cut"))
    [_, row] = printed(columns, ("t-1", "cheap:low_confidence", TEXT), width=60).splitlines()
    assert "cheap:low_confidence" in row
    assert row.endswith("…")


def test_a_table_that_cannot_fit_becomes_a_block_a_row() -> None:
    columns = (Column("endpoint"), Column("model"), Column("remarks", "wrap"))
    rows = [("a" * 20, "m" * 20, "one two three four five six"), ("b", "n", "")]
    assert printed(columns, *rows, width=32).splitlines() == [
        f"endpoint  {'a' * 20}",
        f"model     {'m' * 20}",
        "remarks   one two three four",
        "          five six",
        "",
        "endpoint  b",
        "model     n",
        "remarks",
    ]


def test_wrapped_text_is_all_there() -> None:
    shown = printed((Column("tier"), Column("found", "wrap")), ("cheap", TEXT), ("big", "short"), width=40)
    assert " ".join(line.removeprefix("cheap").strip() for line in shown.splitlines()[1:-1]) == TEXT.strip()
    assert shown.splitlines()[-1] == "big    short"
    assert max(map(cell_len, shown.splitlines())) <= 40


def test_values_are_data_and_none_is_a_dash() -> None:
    shown = printed((Column("text", "cut"), Column("k")), ("[/b] [red]x\x1b[2J\ny", None), width=80)
    assert shown.splitlines() == ["text               k", "[/b] [red]x\ufffd[2J y  -"]


def test_a_table_without_headers_has_no_header_line() -> None:
    assert printed((Column(""), Column("", "wrap")), ("lost", "0"), width=80) == "lost  0\n"


def test_a_row_has_its_style_on_a_terminal() -> None:
    shown = printed((Column("a"),), ("fine",), ("lost",), width=80, styles=("", "red"), colour=True)
    assert "\x1b[31mlost" in shown
    assert "\x1b[31mfine" not in shown


def test_a_table_without_rows_is_its_title_and_header() -> None:
    assert printed((Column("topic"),), width=80, title="none") == "none\ntopic\n"


def test_a_title_that_is_too_long_goes_on_in_the_next_line() -> None:
    title = "13 examples: " + ", ".join(f"{number} from a file" for number in range(9))
    shown = printed((Column("label"),), ("refund",), width=60, title=title)
    *lines, header, row = shown.splitlines()
    assert (" ".join(lines), header, row) == (title, "label", "refund")
    assert max(map(len, lines)) <= 60

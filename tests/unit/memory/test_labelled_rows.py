from __future__ import annotations

from pathlib import Path

import pytest

from schemas import MAX_EXAMPLE_TEXT, MAX_TEXT, Example
from streams.errors import SettingsError
from streams.files import line_file
from streams.kafka.ticket_rows import Fault
from streams.memory.labelled_rows import LabelledRow, labelled_rows, read_row

LABELS = ("refund", "account")


def rows_of(path: Path, content: bytes) -> list[LabelledRow | Fault]:
    path.write_bytes(content)
    with line_file(path, "memory") as lines:
        return [read_row(row, LABELS, ()) for _, row in labelled_rows(path, lines)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".CSV"])
def test_a_table_has_labelled_tickets_and_an_empty_cell_is_no_label(tmp_path: Path, suffix: str) -> None:
    table = "id,Text,label,slice,source\nt-1,Money back!,refund,plain,web\n,A poem,,,\n"
    if suffix == ".tsv":
        table = table.replace(",", "\t")
    assert rows_of(tmp_path / f"m{suffix}", table.encode()) == [
        LabelledRow("t-1", "t-1", "Money back!", "refund", "plain"),
        LabelledRow(Example.id_for(None, "A poem"), None, "A poem", None),
    ]


def test_a_table_without_a_label_column_is_refused_and_not_taken_for_tickets_that_fit_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no column label"):
        rows_of(tmp_path / "m.csv", b"ticket_id,text\nt-1,x\n")


def test_an_id_comes_from_the_ticket_or_from_the_text_that_is_left_after_redaction() -> None:
    first, second = (read_row(f'{{"text": "I am {who}@example.com"}}'.encode(), LABELS, ("email",)) for who in "ab")
    assert isinstance(first, LabelledRow)
    assert first == second
    assert first.text == "I am [email]"
    assert first.example_id == Example.id_for(None, "I am [email]")


def test_a_long_text_is_cut_and_an_endless_one_refused() -> None:
    long = read_row(b'{"text": "%b"}' % (b"x" * (MAX_EXAMPLE_TEXT + 1)), LABELS, ())
    assert isinstance(long, LabelledRow)
    assert (len(long.text), long.cut) == (MAX_EXAMPLE_TEXT, True)
    whole = read_row(b'{"text": "%b"}' % (b"x" * MAX_EXAMPLE_TEXT), LABELS, ())
    assert isinstance(whole, LabelledRow)
    assert not whole.cut
    assert isinstance(read_row(b'{"text": "%b"}' % (b"x" * (MAX_TEXT + 1)), LABELS, ()), Fault)
    assert isinstance(read_row(b'{"text": "%bx"}' % (b" " * MAX_EXAMPLE_TEXT), LABELS, ()), Fault)


@pytest.mark.parametrize(
    ("row", "reason", "said"),
    [
        (b"text,label", "invalid_row", "Invalid JSON: expected ident at line 1 column 2"),
        (b"[]", "invalid_row", "a mapping of keys and values is expected"),
        (b'{"label": "refund"}', "invalid_row", "text is missing"),
        (b'{"text": "x", "label": "fees"}', "unknown_label", "'fees' is none of the labels"),
        (b'{"text": "x", "label": ""}', "invalid_row", "label"),
        (b'{"text": "\\ud800"}', "invalid_row", "JSON"),
        (b'{"text": " \\n"}', "no_text", "the text is empty"),
        (b'{"text": "my secret", "ticket_id": 5}', "invalid_row", "ticket_id"),
        (b'{"text": "x", "verdict_by": "ada", "verdict_at_ms": -1}', "invalid_row", "verdict_at_ms"),
        (Fault("wrong_columns", "3 columns"), "wrong_columns", "3 columns"),
    ],
)
def test_a_row_that_is_none_is_refused_with_a_reason_and_without_its_text(
    row: bytes | Fault, reason: str, said: str
) -> None:
    fault = read_row(row, LABELS, ())
    assert isinstance(fault, Fault)
    assert fault.reason == reason
    assert said in fault.detail
    assert "file" not in fault.detail
    assert "secret" not in fault.detail

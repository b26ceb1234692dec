"""Tables of tickets: which column is which field, and what is refused by which line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Ticket
from streams import files
from streams.errors import SettingsError
from streams.files import line_file
from streams.kafka.ticket_rows import Fault, Refusals, good_rows
from streams.kafka.ticket_tables import ticket_rows


def rows_of(folder: Path, content: str | bytes, suffix: str = ".csv") -> list[tuple[int, bytes | Fault]]:
    path = folder / f"tickets{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with line_file(path, "tickets") as lines:
        rows = ticket_rows(path, lines)
        found = list(rows)
        assert list(rows) == found, "it can be read again"
    return found


def tickets_of(folder: Path, content: str | bytes, suffix: str = ".csv") -> list[Ticket]:
    return [Ticket.decode(row) for _, row in rows_of(folder, content, suffix) if isinstance(row, bytes)]


@pytest.mark.parametrize("key", ["ticket_id", "id", "ID", " Ticket_Id "])
def test_columns_are_fields_and_the_others_metadata(tmp_path: Path, key: str) -> None:
    content = f"{key},Subject,TEXT,label,slice,v,metadata\r\nt-1,Hi,Where is it?,refund,plain,2,m\r\n"
    metadata = {"Subject": "Hi", "v": "2", "metadata": "m"}
    expected = Ticket(ticket_id="t-1", text="Where is it?", label="refund", slice="plain", metadata=metadata)
    assert tickets_of(tmp_path, content) == [expected]


def test_a_table_with_both_ids_keeps_the_other_as_metadata(tmp_path: Path) -> None:
    assert tickets_of(tmp_path, "id,ticket_id,text\n7,t-1,x\n") == [
        Ticket(ticket_id="t-1", text="x", metadata={"id": "7"})
    ]


def test_empty_cells_and_columns_without_a_name_are_absent(tmp_path: Path) -> None:
    content = ",ticket_id,text,label,channel\n0,t-1,x,,\n"
    assert tickets_of(tmp_path, content) == [Ticket(ticket_id="t-1", text="x")]


@pytest.mark.parametrize("suffix", [".tsv", ".TSV"])
def test_tabs_separate_the_columns_of_a_tsv_file(tmp_path: Path, suffix: str) -> None:
    assert tickets_of(tmp_path, "id\ttext\nt-1\ta, b\n", suffix) == [Ticket(ticket_id="t-1", text="a, b")]


def test_a_row_is_named_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    content = 'id,text\n\na,"one\n\n""two"", three"\n,,\nb\n,\nc,"  "\nd,x,y\n\xff,x\ne,x'.encode("latin-1")
    rows = rows_of(tmp_path, content)
    refusals = Refusals()
    good = list(good_rows(rows, refusals))
    assert [(line, json.loads(row)["text"]) for line, row in good] == [(3, 'one\n\n"two", three'), (12, "x")]
    assert [(each.line, each.reason) for each in refusals.lines] == [
        (7, "wrong_columns"),
        (9, "wrong_schema"),
        (10, "wrong_columns"),
        (11, "not_utf8"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,body,date\nt-1,x,y\n", "no column text: the first row names 'id', 'body', 'date'"),
        ("text;id\nx;t-1\n", "no column text: the first row names 'text;id'"),
        ("text,date\nx,y\n", "no column ticket_id: the first row names 'text', 'date'"),
        ("id,text,Text\nt-1,x,y\n", "two columns are 'text'"),
        (",".join(f"c{number}" for number in range(40)), "and 28 more"),
        ("\x1b[31m" * 50, r"'\x1b[31m\x1b[31m"),
        ('id,text\na,x\nb,"open\nc,x\n', "line 3: invalid CSV: unexpected end of data"),
        ('id,text\na,"x"y\n', "line 2: invalid CSV"),
        ("id,text\n".encode("utf-16-le"), "line 1: NUL bytes"),
    ],
)
def test_a_file_that_is_no_table_of_tickets_is_refused_in_one_line(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        rows_of(tmp_path, content)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(f"tickets file {tmp_path / 'tickets.csv'}")


def test_a_quote_that_is_not_closed_does_not_read_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 100)
    with pytest.raises(SettingsError, match="line 2: 100 bytes or more; is a quote not closed"):
        rows_of(tmp_path, 'id,text\na,"' + "x\n" * 60)


@pytest.mark.parametrize("content", ["", "\n\n", "id,text\n"])
def test_a_table_without_rows_has_none(tmp_path: Path, content: str) -> None:
    assert rows_of(tmp_path, content) == []


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), min_size=1, max_size=10)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6), st.sampled_from([",", "\t"]))
def test_whatever_a_program_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], delimiter: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([("id", "text", "subject"), *rows])
    found = rows_of(tmp_path_factory.mktemp("t"), out.getvalue(), ".csv" if delimiter == "," else ".tsv")
    assert [tuple(json.loads(row).values()) for _, row in found if isinstance(row, bytes)] == rows

"""Tickets from a table: a CSV or TSV file whose first row names the columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from schemas import Ticket
from streams.core.wording import counted
from streams.errors import SettingsError
from streams.files import LineFile, line_file
from streams.kafka.ticket_rows import Fault

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
"""By the file's suffix, in any case."""

_SHOWN = 12
_REQUIRED: Final = ("text", "ticket_id")
_FIELDS: Final = {"ticket_id": "ticket_id", "id": "ticket_id", "text": "text", "label": "label", "slice": "slice"}


def ticket_rows(
    file: Path, lines: LineFile, *, required: Sequence[str] = _REQUIRED, filled: Collection[str] = _REQUIRED
) -> Iterable[tuple[int, bytes | Fault]]:
    """Return the rows of a file, each with its line: JSON Lines, or a ``TicketTable`` if the suffix says so.

    They can be iterated again. Raises SettingsError while a table is read that is not CSV, or lacks a column.
    """
    delimiter = DELIMITERS.get(file.suffix.lower())
    return lines if delimiter is None else TicketTable(lines, delimiter, required=required, filled=filled)


def read_ticket_rows(file: Path, limit: int | None = None) -> list[tuple[int, bytes | Fault]]:
    """Return ``ticket_rows`` of a file, ``limit`` at most; raises SettingsError if there is none to read."""
    with line_file(file, "tickets") as lines:
        rows = list(islice(ticket_rows(file, lines), limit))
    if not rows:
        raise SettingsError(f"{lines.name}: no rows")
    return rows


class TicketTable:
    """The rows of a table as tickets in JSON; ``required`` are the columns without which it is none.

    Columns are found in any case (``id`` is ``ticket_id``), an empty cell counts as absent unless its column has to be
    ``filled``, and columns that a ticket does not have become metadata.
    """

    def __init__(self, lines: LineFile, delimiter: str, *, required: Sequence[str], filled: Collection[str]) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._required = required
        self._filled = filled

    def __iter__(self) -> Iterator[tuple[int, bytes | Fault]]:
        records = self._lines.records(self._delimiter)
        header = next(records, None)
        if header is None:
            return
        fields = _fields(header[1], self._lines.name, self._required)
        for line, cells in records:
            if len(cells) != len(fields):
                yield (
                    line,
                    Fault("wrong_columns", f"{counted(len(cells), 'column')}, and the header names {len(fields)}"),
                )
                continue
            try:
                yield line, orjson.dumps(_ticket(fields, cells, self._filled))
            except orjson.JSONEncodeError:
                yield line, Fault("not_utf8", "the row is not UTF-8")


def _fields(columns: list[str], name: str, required: Sequence[str]) -> list[str]:
    """Return the ticket's field for each column; an empty one for a column without a name."""
    names = [column.strip() for column in columns]
    known = [_FIELDS.get(each.lower(), each) for each in names]
    if "ticket_id" in [each.lower() for each in names]:
        known = [each if own.lower() == "id" else field for each, own, field in zip(names, names, known, strict=True)]
    for needed in required:
        if needed not in known:
            found = ", ".join(f"{each[:40]!r}" for each in names[:_SHOWN])
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            hint = "; columns are separated by commas (a .tsv file: by tabs)" if len(names) == 1 else ""
            raise SettingsError(f"{name}: no column {needed}: the first row names {found}{more}{hint}")
    twice = next((each for each in known if each and known.count(each) > 1), None)
    if twice is not None:
        raise SettingsError(f"{name}: two columns are {twice[:40]!r}")
    return known


def _ticket(fields: list[str], cells: list[str], filled: Collection[str]) -> dict[str, object]:
    ticket: dict[str, object] = {}
    metadata: dict[str, str] = {}
    for field, cell in zip(fields, cells, strict=True):
        if field and (cell or field in filled):
            clash = field in Ticket.model_fields and field not in _FIELDS
            (metadata if clash else ticket)[field] = cell
    return ticket | {"metadata": metadata} if metadata else ticket

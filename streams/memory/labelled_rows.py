"""Labelled tickets in a file, row by row: JSON lines, or a table if the file's suffix says so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from schemas import MAX_EXAMPLE_TEXT, MAX_TEXT, Example
from schemas.base import Count, Name
from streams.core.signal.redaction import Redaction, redact
from streams.files import LineFile, one_line
from streams.kafka.ticket_rows import Fault
from streams.kafka.ticket_tables import ticket_rows

#: The reason of a row whose text is blank.
NO_TEXT = "no_text"
_COLUMNS = ("text", "label")


class _Row(BaseModel):
    text: str = Field(max_length=MAX_TEXT)
    label: Name | None = None
    ticket_id: Name | None = None
    slice: Name | None = None
    verdict_by: Name | None = None
    verdict_at_ms: Count | None = None


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One labelled ticket as it is remembered: redacted, and no longer than an example may be."""

    example_id: str
    ticket_id: str | None
    text: str
    label: str | None
    slice: str | None = None
    verdict_by: str | None = None
    """The reviewer, if the row is a verdict that was exported."""
    verdict_at_ms: int | None = None
    cut: bool = False
    """Whether its text was longer."""


def labelled_rows(file: Path, lines: LineFile) -> Iterable[tuple[int, bytes | Fault]]:
    """Return the rows of a file, each with its line; they can be iterated again.

    A table needs the columns ``text`` and ``label``; a cell without a label is a ticket that fits none. Raises SettingsError
    while a table is read that is not CSV, or lacks a column.
    """
    return ticket_rows(file, lines, required=_COLUMNS, filled=("text",))


def read_row(row: bytes | Fault, labels: Collection[str], redactions: Sequence[Redaction]) -> LabelledRow | Fault:
    """Return what a row {text, label?, ticket_id?, slice?} says, or why it is refused.

    Without a label it is out of scope. Without a ticket_id its id is a function of its text.
    """
    if isinstance(row, Fault):
        return row
    try:
        said = _Row.model_validate_json(row)
    except ValidationError as error:
        return Fault("invalid_row", one_line(error, _Row).removeprefix("file: "))
    if not said.text.strip():
        return Fault(NO_TEXT, "the text is empty")
    label = None if said.label is None else said.label.strip()
    if label is not None and label not in labels:
        return Fault("unknown_label", f"{label!r} is none of the labels")
    whole = redact(said.text, redactions)
    text = whole[:MAX_EXAMPLE_TEXT]
    if not text.strip():
        return Fault(NO_TEXT, f"the first {MAX_EXAMPLE_TEXT} characters are empty")
    return LabelledRow(
        example_id=Example.id_for(said.ticket_id, text),
        ticket_id=said.ticket_id,
        text=text,
        label=label,
        slice=said.slice,
        verdict_by=said.verdict_by,
        verdict_at_ms=said.verdict_at_ms,
        cut=len(whole) > len(text),
    )

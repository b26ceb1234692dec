"""Labelled tickets from a file, as examples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from schemas import stable_id
from schemas.base import MAX_TEXT, Name
from streams.core.memory.example import Example
from streams.core.signal.redaction import Redaction, redact
from streams.errors import SettingsError
from streams.files import numbered_file_lines, one_line


class _Row(BaseModel):
    text: str = Field(max_length=MAX_TEXT)
    label: Name | None = None
    ticket_id: Name | None = None


def read_examples(path: Path, labels: Collection[str], redactions: Sequence[Redaction]) -> list[Example]:
    """Read JSON lines {text, label?, ticket_id?}; a row without a label is out of scope.

    Texts are redacted. A row without a ticket_id has an id that is a function of its text; of rows with one id the last
    counts. Raises SettingsError for a file that cannot be read, a row that is none, or a label that is not in ``labels``.
    """
    found: dict[str, Example] = {}
    for number, line in numbered_file_lines(path, "memory"):
        try:
            row = _Row.model_validate_json(line)
        except ValidationError as error:
            raise SettingsError(f"line {number} of {path}: {one_line(error, _Row)}") from None
        label = None if row.label is None else row.label.strip()
        if label is not None and label not in labels:
            raise SettingsError(f"line {number} of {path}: {label!r} is none of the labels")
        if row.text.strip():
            name = row.ticket_id or f"text-{stable_id('example', row.text)[:16]}"
            found.pop(name, None)
            found[name] = Example(name, row.ticket_id, redact(row.text, redactions), label)
    if not any(example.label for example in found.values()):
        raise SettingsError(f"memory file {path}: no row has a text and a label")
    return list(found.values())

"""Labelled tickets from a file, as examples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from streams.core.memory.example import Example
from streams.core.signal.redaction import Redaction
from streams.errors import SettingsError
from streams.files import line_file
from streams.kafka.ticket_rows import Fault
from streams.memory.labelled_rows import NO_TEXT, labelled_rows, read_row


def read_examples(path: Path, labels: Collection[str], redactions: Sequence[Redaction]) -> list[Example]:
    """Read rows {text, label?, ticket_id?}, JSON lines or a .csv or .tsv table; one without a label is out of scope.

    Texts are redacted, and rows without a text are left out. Of rows with one id the last counts. Raises SettingsError for
    a file that cannot be read, a row that is none, or a label that is not in ``labels``.
    """
    found: dict[str, Example] = {}
    with line_file(path, "memory") as lines:
        for number, line in labelled_rows(path, lines):
            row = read_row(line, labels, redactions)
            if isinstance(row, Fault):
                if row.reason != NO_TEXT:
                    raise SettingsError(f"line {number} of {path}: {row.detail}")
                continue
            found.pop(row.example_id, None)
            found[row.example_id] = Example(row.example_id, row.ticket_id, row.text, row.label)
    if not any(example.label for example in found.values()):
        raise SettingsError(f"memory file {path}: no row has a text and a label")
    return list(found.values())

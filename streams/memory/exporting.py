"""Writes examples as rows of a file, as loading reads them."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import orjson

from schemas import Example
from streams.errors import SettingsError
from streams.kafka.ticket_tables import DELIMITERS

_COLUMNS = ("ticket_id", "text", "label", "slice", "verdict_by", "verdict_at_ms")


def write_rows(path: Path, examples: Iterable[Example]) -> None:
    """Write a ``.csv`` or ``.tsv`` table, or JSON lines; ``-`` is standard output.

    A file that is there is replaced once all is written. Raises SettingsError for one that cannot be written.
    """
    if str(path) == "-":
        _write(sys.stdout, examples, None)
        return
    try:
        with NamedTemporaryFile(
            "w", encoding="utf-8", newline="", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            try:
                _write(file, examples, DELIMITERS.get(path.suffix.lower()))
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                with suppress(OSError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise SettingsError(f"memory file {path}: {error.strerror}") from None


def _write(file: IO[str], examples: Iterable[Example], delimiter: str | None) -> None:
    if delimiter is None:
        for example in examples:
            file.write(orjson.dumps(_row(example)).decode() + "\n")
        return
    writer = csv.DictWriter(file, _COLUMNS, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(_row(example) for example in examples)


def _row(example: Example) -> dict[str, Any]:
    """Return what ``read_row`` reads; what an example does not have is left out."""
    verdict = example.source == "verdict"
    row = {
        "ticket_id": example.ticket_id,
        "text": example.text,
        "label": example.label,
        "slice": example.slice,
        "verdict_by": example.by if verdict else None,
        "verdict_at_ms": example.at_ms if verdict else None,
    }
    return {name: value for name, value in row.items() if value is not None}

"""Probe rows stored in a file, one JSON object a line; nothing that a line may hold stops the reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from streams.files import file_lines


def read_rows(path: Path) -> Iterator[object]:
    """Yield each line's value; None for a line that is no JSON. Raises SettingsError for a file that is away.

    Messages of the ``probes`` topic, as ``hedgerow consume probes --json`` prints them, are turned into rows.
    """
    for line in file_lines(path, "probe"):
        yield as_row(_parsed(line))


def as_row(value: object) -> object:
    """Return a probe message as the row that a detector reads; anything else as it is."""
    if not isinstance(value, Mapping) or "at_ms" not in value or "at" in value:
        return value
    return {**value, "at": value["at_ms"], "model": value.get("model_returned")}


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        pass
    try:
        return json.loads(line)  # Python writes NaN and Infinity, which are no JSON, and reads them
    except (ValueError, RecursionError):
        return None

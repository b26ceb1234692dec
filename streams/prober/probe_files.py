"""Probe rows stored in a file, one JSON object a line; nothing that a line may hold stops the reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from streams.core.drift import ProbeRow, Unusable, read_row
from streams.files import file_lines


def read_rows(path: Path) -> Iterator[ProbeRow | Unusable]:
    """Yield each line as a row; a line that is no JSON is ``malformed``. Raises SettingsError for a file that is missing.

    Messages of the ``probes`` topic, as ``hedgerow consume probes --json`` prints them, are rows too.
    """
    return map(read_row, map(_parsed, file_lines(path, "probe")))


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        pass
    try:
        return json.loads(line)  # Python writes NaN and Infinity, which are no JSON, and reads them
    except (ValueError, RecursionError):
        return None

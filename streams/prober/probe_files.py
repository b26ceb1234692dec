"""Probe rows stored in a file, one JSON object a line; nothing that a line may hold stops the reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streams.core.drift import ProbeRow, Unusable, read_row
from streams.core.signal.body import loads
from streams.files import file_lines


def read_rows(path: Path) -> Iterator[ProbeRow | Unusable]:
    """Yield each line as a row; a line that is no JSON is ``malformed``. Raises SettingsError for a file that is missing.

    Messages of the ``probes`` topic, as ``hedgerow consume probes --json`` prints them, are rows too.
    """
    return map(read_row, map(_parsed, file_lines(path, "probe")))


def _parsed(line: bytes) -> Any:
    try:
        return loads(line)
    except (ValueError, RecursionError):
        return None

"""Files of one row a line, read without ever holding more than one line of a bounded length."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from streams.errors import SettingsError

#: The longest line, bytes: more than any message may have. Of a longer one this much is read and the rest is left out, so that
#: it is refused where it goes, and for its size.
MAX_LINE_BYTES = 8 * 1024 * 1024


def file_lines(path: Path, what: str) -> Iterator[bytes]:
    """Open a file, ``-`` for standard input, and return its lines without line ends and without those that are blank.

    Raises SettingsError, at once, for a file that cannot be opened, and for one that cannot be read later.
    """
    if str(path) == "-":
        return bounded_lines(sys.stdin.buffer)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise SettingsError(f"{what} file {path}: {error.strerror}") from None
    return _lines_of(stream, f"{what} file {path}")


def _lines_of(stream: BinaryIO, name: str) -> Iterator[bytes]:
    with stream:
        try:
            yield from bounded_lines(stream)
        except OSError as error:
            raise SettingsError(f"{name}: {error.strerror}") from None


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream, none longer than MAX_LINE_BYTES."""
    while line := stream.readline(MAX_LINE_BYTES):
        whole = line.endswith(b"\n")
        while not whole and (rest := stream.readline(MAX_LINE_BYTES)):
            whole = rest.endswith(b"\n")
        line = line.rstrip(b"\r\n")
        if line.strip():
            yield line

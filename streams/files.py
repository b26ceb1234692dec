"""Files of one row a line, read without ever holding more than one line of a bounded length.

Every command that reads JSON lines reads them here, so that all of them take the same files: with or without a byte
order mark, in UTF-8, UTF-16 or UTF-32.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import cast

from streams.encoding import UTF_8, Source, Utf8Stream, without_mark
from streams.errors import SettingsError

#: The longest line in bytes, as UTF-8: more than any message may have. Of a longer one this much is read and the rest
#: is left out, so that it is refused where it goes, and for its size.
MAX_LINE_BYTES = 8 * 1024 * 1024
#: How much of a stream that cannot be read twice stays in memory; more of it goes to a temporary file.
_SPOOLED_BYTES = 16 * 1024 * 1024


class LineFile:
    """An open file whose lines can be read again: each iteration yields the number and content of every line."""

    def __init__(self, stream: BufferedReader | SpooledTemporaryFile[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        self._stream.seek(0)
        return numbered_lines(self._stream, self._name)


@contextmanager
def line_file(path: Path, what: str) -> Iterator[LineFile]:
    """Open a file, ``-`` for standard input, to read its lines more than once; a pipe is copied to its end first.

    Raises SettingsError for a file that cannot be opened or copied.
    """
    name = _name(path, what)
    stream = _open(path, name)
    with nullcontext() if str(path) == "-" else stream:
        if str(path) != "-" and stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            yield LineFile(stream, name)
            return
        with SpooledTemporaryFile(max_size=_SPOOLED_BYTES) as copy:
            try:
                shutil.copyfileobj(stream, copy)
            except OSError as error:
                raise SettingsError(f"{name}: {error.strerror}") from None
            yield LineFile(copy, name)


def file_lines(path: Path, what: str) -> Iterator[bytes]:
    """Open a file, ``-`` for standard input, and return its lines without line ends and without those that are blank.

    Raises SettingsError, at once, for a file that cannot be opened, and later for one that cannot be read or decoded.
    """
    return (line for _, line in numbered_file_lines(path, what))


def numbered_file_lines(path: Path, what: str) -> Iterator[tuple[int, bytes]]:
    """Like file_lines, with each line's number in the file; blank lines count."""
    name = _name(path, what)
    stream = _open(path, name)
    return numbered_lines(stream, name) if str(path) == "-" else _closing(stream, name)


def _closing(stream: BufferedReader, name: str) -> Iterator[tuple[int, bytes]]:
    with stream:
        yield from numbered_lines(stream, name)


def bounded_lines(stream: Source, name: str = "the file") -> Iterator[bytes]:
    """Yield the lines of a stream that are not blank, none longer than MAX_LINE_BYTES."""
    return (line for _, line in numbered_lines(stream, name))


def numbered_lines(stream: Source, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each line that is not blank, as UTF-8; ``name`` is the file in errors.

    Raises SettingsError for a file that is not in the encoding of its byte order mark, and for UTF-16 without one.
    """
    decoded = Utf8Stream(stream, name)
    lines = BufferedReader(decoded)
    unsure = decoded.encoding is None
    number = 0
    while line := lines.readline(MAX_LINE_BYTES):
        number += 1
        whole = line.endswith(b"\n")
        while not whole and (rest := lines.readline(MAX_LINE_BYTES)):
            whole = rest.endswith(b"\n")
        line = line.rstrip(b"\r\n")
        # Files that were put together bring their marks along, and no row starts with one.
        while line.startswith(UTF_8.mark):
            line = line.removeprefix(UTF_8.mark)
        if not line.strip():
            continue
        if unsure and b"\0" in line:
            raise without_mark(f"{name}, line {number}")
        unsure = False
        yield number, line


def _name(path: Path, what: str) -> str:
    return f"{what} on standard input" if str(path) == "-" else f"{what} file {path}"


def _open(path: Path, name: str) -> BufferedReader:
    if str(path) == "-":
        return cast(BufferedReader, sys.stdin.buffer)
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}") from None

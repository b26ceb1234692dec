"""Files of records: one JSON object a line, with the ticket and both tiers' calls."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.core.calibration.records import Record, read_record
from streams.encoding import UTF_8, encoding_of
from streams.errors import SettingsError
from streams.files import numbered_lines


def read_records(path: Path) -> list[Record]:
    """Read every record; raises SettingsError for a file that cannot be read, holds none, or a line that is none."""
    records = _read(_content(path), path)
    if not records:
        raise SettingsError(f"records file {path}: no records")
    return records


class RecordFile:
    """A record file that grows, as a context manager. What it already holds is in ``records``; a line that a crash cut
    off is dropped."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError where the file holds anything but records."""
        content = _content(path) if path.exists() else b""
        encoding = encoding_of(content)
        if encoding is not None and encoding is not UTF_8:
            raise SettingsError(f"records file {path}: {encoding.name}; save it as UTF-8 to add records to it")
        self._whole = content.rfind(b"\n") + 1
        self._path = path
        self.records = _read(content[: self._whole], path)

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("ab")
            self._file.truncate(self._whole)
        except OSError as error:
            raise SettingsError(f"records file {self._path}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        """Append one record; it is on its way to the disk when this returns."""
        self._file.write(record.model_dump_json().encode() + b"\n")
        self._file.flush()
        self.records.append(record)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"records file {path}: {error.strerror}") from None


def _read(content: bytes, path: Path) -> list[Record]:
    lines = numbered_lines(BytesIO(content), f"records file {path}")
    return [read_record(line, f"line {number} of {path}") for number, line in lines]

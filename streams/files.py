"""Files that come from outside: YAML that people write, and files of one row a line.

Nothing is read without a bound: a YAML file has a longest length, and of a file of rows one line of a bounded length
is held at a time. Every command reads its files here, so that all take the same ones: with or without a byte order mark,
in UTF-8, UTF-16 or UTF-32.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from io import BufferedReader
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from streams.errors import SettingsError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from pydantic_core import ErrorDetails

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding, and the byte order mark that announces it."""

    name: str
    codec: str
    mark: bytes


UTF_8 = Encoding("UTF-8", "utf-8", codecs.BOM_UTF8)
#: UTF-32 LE before UTF-16 LE, whose mark is the beginning of its own.
ENCODINGS = (
    UTF_8,
    Encoding("UTF-32 LE", "utf-32-le", codecs.BOM_UTF32_LE),
    Encoding("UTF-32 BE", "utf-32-be", codecs.BOM_UTF32_BE),
    Encoding("UTF-16 LE", "utf-16-le", codecs.BOM_UTF16_LE),
    Encoding("UTF-16 BE", "utf-16-be", codecs.BOM_UTF16_BE),
)


class Source(Protocol):
    """A binary stream that can return what is there without waiting for more."""

    def read1(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes; none at the end."""


def encoding_of(start: bytes) -> Encoding | None:
    """Return the encoding whose byte order mark these bytes start with, or None."""
    return next((each for each in ENCODINGS if start.startswith(each.mark)), None)


def text_of(content: bytes, name: str) -> str:
    """Decode a whole file: as its byte order mark says, or as UTF-8.

    Raises SettingsError for content that does not keep what its mark promises and for UTF-16 without a mark, and
    UnicodeDecodeError for content without a mark that is not UTF-8.
    """
    encoding = encoding_of(content)
    if encoding is None:
        if b"\0" in content:
            raise without_mark(name)
        return content.decode("utf-8")
    try:
        return content[len(encoding.mark) :].decode(encoding.codec)
    except UnicodeDecodeError as error:
        raise _broken(name, encoding, error) from None


def without_mark(name: str) -> SettingsError:
    """Return the error for a file with NUL bytes, which JSON and YAML never have."""
    return SettingsError(f"{name}: NUL bytes, as in UTF-16 without a byte order mark; save it as UTF-8")


def _broken(name: str, encoding: Encoding, error: UnicodeDecodeError) -> SettingsError:
    return SettingsError(f"{name}: its byte order mark says {encoding.name}, which it is not: {error.reason}")


class Utf8Stream(io.RawIOBase):
    """A stream as UTF-8 without its byte order mark, decoded as it is read. Without a mark the bytes stay as they are.

    A read raises SettingsError for what the encoding does not allow, and for a stream that cannot be read. A surrogate
    without its partner is passed on: the line that has it is refused, and not the file.
    """

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        start = self._start()
        self.encoding = encoding_of(start)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._ready = start if self.encoding is None else start[len(self.encoding.mark) :]
        # A line that is not UTF-8 is refused by what reads it, so UTF-8 is not decoded here.
        if self.encoding is not None and self.encoding is not UTF_8:
            self._decoder = codecs.getincrementaldecoder(self.encoding.codec)("surrogatepass")
            self._ready = self._decoded(self._ready, final=False)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer with what is there; return the number of bytes, 0 at the end."""
        ended = False
        while not self._ready and not ended:
            data = self._read(_CHUNK)
            ended = not data
            self._ready = self._decoded(data, final=ended)
        with memoryview(buffer) as room:
            part = self._ready[: len(room)]
            room[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)

    def _decoded(self, data: bytes, *, final: bool) -> bytes:
        if self._decoder is None or self.encoding is None:
            return data
        try:
            return self._decoder.decode(data, final).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise _broken(self._name, self.encoding, error) from None

    def _start(self) -> bytes:
        """Read a byte order mark, or the bytes that show that there is none; no more, because a person may be typing."""
        start = b""
        while any(each.mark != start and each.mark.startswith(start) for each in ENCODINGS):
            more = self._read(1)
            if not more:
                break
            start += more
        return start

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read1(size)
        except OSError as error:
            raise SettingsError(f"{self._name}: {error.strerror}") from None


#: The longest file that a person writes, bytes; a policy with its whole fit is a hundredth of it.
MAX_BYTES = 4 * 1024 * 1024


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML mapping; raises SettingsError for a file that is missing, unreadable or not a mapping."""
    values = read_document(path, what)
    if not isinstance(values, dict):
        raise SettingsError(f"{what} file {path}: a mapping is expected, not {type(values).__name__}")
    return values


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which the last one would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (name := (key.tag, key.value)) in seen:
                    raise yaml.constructor.ConstructorError(None, None, "this key is there twice", key.start_mark)
                seen.add(name)
        return super().construct_mapping(node, deep)


def read_document(path: Path, what: str) -> Any:
    """Read a YAML document of any form; raises SettingsError for a file that is missing, unreadable or too long."""
    name = f"{what} file {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the path
        raise SettingsError(f"{name}: {error}") from None
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{name}: longer than {MAX_BYTES} bytes")
    return document_of(data, name)


def document_of(data: bytes, name: str) -> Any:
    """Return the YAML document in UTF-8, or as a byte order mark says; raises SettingsError, which begins with ``name``."""
    try:
        return yaml.load(text_of(data, name), _Loader)  # noqa: S506 (a safe loader)
    except yaml.MarkedYAMLError as error:
        # Not the whole message: it quotes the line, and what was written there may be a secret.
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise SettingsError(f"{name}: invalid YAML{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A ValueError is no text in UTF-8, or a date such as 2026-13-01.
        raise SettingsError(f"{name}: invalid YAML: {' '.join(str(error).split())}") from None


#: A key that more sections have, such as ``url``, says little about where it was meant to stand.
_FEW = 2
#: From this likeness on (0 to 1) a key is a misspelt one of its section.
_MISSPELT = 0.8


def one_line(error: ValidationError, expected: object) -> str:
    """Return the first fault with the key it is about, and how many more there are; ``expected`` is the type that was checked.

    A value is shown if it is a number; a text may be a password in the wrong place, and so may what stands for a variable.
    """
    problems = error.errors(include_url=False, include_context=False)
    # Before a key that is missing: that one may be there, misspelt.
    first = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    where = ".".join(str(part) for part in first["loc"]) or "file"
    if first["type"] == "extra_forbidden":
        *place, key = first["loc"]
        text = unknown_key(where, str(key), keys_at(expected, place), sections_with(expected, str(key)))
    elif first["type"] == "missing":
        text = f"{where} is missing"
    else:
        shown = isinstance(first["input"], int | float | None) and not where.endswith("_env")
        said = _in_words(first)
        if first["type"] == "value_error" and not first["loc"]:
            return said  # it is about several keys, and names them
        text = f"{where}: {said}" + (f" (it is {first['input']!r:.80})" if shown else "")
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"


def _in_words(problem: ErrorDetails) -> str:
    """Return what pydantic says of a fault, or better words where it says how it looked."""
    match problem["type"]:
        case "model_type" | "dict_type":
            return "a mapping of keys and values is expected"
        case "string_pattern_mismatch" if "^https?://" in problem["msg"]:
            return "a URL that begins with http:// or https:// is expected"
        case "string_pattern_mismatch" if str(problem["loc"][-1]).endswith("_env"):
            return "the name of an environment variable is expected (letters, digits and _), and not what it holds"
    return problem["msg"].removeprefix("Value error, ")


def unknown_key(where: str, key: str, known: Iterable[str], sections: Sequence[str] = ()) -> str:
    """Return the line about a key that is not ``known``, with the one that was probably meant.

    ``sections`` are those that do know it.
    """
    names = list(known)
    if f"{key}_env" in names:
        return (
            f"unknown key {where}: a secret stands in no file; name the environment variable that holds it: {key}_env"
        )
    if 0 < len(sections) <= _FEW and not get_close_matches(key, names, cutoff=_MISSPELT):
        return f"unknown key {where}; it belongs to {' or '.join(sections)}"
    return f"unknown key {where}{suggestion(key, names)}"


def suggestion(key: str, known: Iterable[str]) -> str:
    """Return the end of a line about an unknown name: the known one that is most like it, or nothing."""
    close = get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def keys_at(expected: object, place: Sequence[int | str]) -> set[str]:
    """Return the keys of the section at a place within a type, found by the fields of its pydantic models."""
    if isinstance(expected, type) and issubclass(expected, BaseModel):
        if not place:
            return set(expected.model_fields)
        field = expected.model_fields.get(str(place[0]))
        return set() if field is None else keys_at(field.annotation, place[1:])
    # A list, a mapping or a tuple has one part of the place to itself; a union and an Annotated have none.
    inside = place[1:] if get_origin(expected) in {list, tuple, dict} else place
    return set().union(*(keys_at(each, inside) for each in get_args(expected)))


def sections_with(expected: object, key: str) -> list[str]:
    """Return the sections within a type's sections that have a key, by their names with dots."""
    if not (isinstance(expected, type) and issubclass(expected, BaseModel)):
        kinds = () if get_origin(expected) in {list, tuple, dict} else get_args(expected)
        return [found for each in kinds for found in sections_with(each, key)]
    found = []
    for name, field in expected.model_fields.items():
        if key in keys_at(expected, [name]):
            found.append(name)
        found += [f"{name}.{inner}" for inner in sections_with(field.annotation, key)]
    return found


#: The longest line in bytes, as UTF-8: more than any message may have. Of a longer one this much is read and the rest
#: is left out, so that its reader refuses it, for its size.
MAX_LINE_BYTES = 8 * 1024 * 1024
#: How much of a stream that cannot be read twice stays in memory; more of it goes to a temporary file.
_SPOOLED_BYTES = 16 * 1024 * 1024


class LineFile:
    """An open file whose lines can be read again: each iteration yields the number and content of every line."""

    def __init__(self, stream: BufferedReader | SpooledTemporaryFile[bytes], name: str) -> None:
        self._stream = stream
        self.name = name
        """What it is called in errors."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        self._stream.seek(0)
        return numbered_lines(self._stream, self.name)

    def records(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Read it from its beginning as CSV (``csv_records``)."""
        self._stream.seek(0)
        return csv_records(self._stream, delimiter, self.name)


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


def csv_records(stream: Source, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record of a CSV stream that is not blank, with the line on which it begins; ``name`` is the file in errors.

    A byte that is not UTF-8 becomes a surrogate (``surrogateescape``). Raises SettingsError for what is no CSV: after a
    quote that is not closed, nothing says where the next record begins.
    """
    decoded = Utf8Stream(stream, name)
    lines = BufferedReader(decoded)
    begins, size = 1, 0

    def text() -> Iterator[str]:
        nonlocal size
        while line := lines.readline(MAX_LINE_BYTES):
            size += len(line)
            if size >= MAX_LINE_BYTES:
                raise SettingsError(f"{name}, line {begins}: {MAX_LINE_BYTES} bytes or more; is a quote not closed?")
            if decoded.encoding is None and begins == 1 and b"\0" in line:
                raise without_mark(f"{name}, line 1")
            yield line.decode("utf-8", "surrogateescape")

    # One limit for the whole process: the default is near the longest text, and the row's own limits are checked later.
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(text(), delimiter=delimiter, strict=True)
    while True:
        begins, size = reader.line_num + 1, 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise SettingsError(f"{name}, line {begins}: invalid CSV: {error}") from None
        if any(cells):
            yield begins, cells


def _name(path: Path, what: str) -> str:
    return f"{what} on standard input" if str(path) == "-" else f"{what} file {path}"


def _open(path: Path, name: str) -> BufferedReader:
    if str(path) == "-":
        return cast(BufferedReader, sys.stdin.buffer)
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}") from None

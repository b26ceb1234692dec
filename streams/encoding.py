"""Files as programs save them: the encoding that a byte order mark names, and the content as UTF-8."""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streams.errors import SettingsError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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
        # A line that is not UTF-8 is refused where it goes, so UTF-8 is not decoded here.
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

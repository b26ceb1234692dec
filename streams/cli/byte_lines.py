"""Bytes of any kind as lines for a terminal: text as text, all else as hex with its characters beside."""

from __future__ import annotations

import codecs

from streams.cli.terminal import plain
from streams.core.wording import counted

_ROW = 16
#: How many bytes are shown as hex.
_HEX_BYTES = 4096


def as_text(data: bytes, *, cut: bool = False) -> str | None:
    """Return UTF-8 text without control characters, or None for anything else; ``cut`` bytes may end in a character."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=not cut)
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\n\r\t" for char in text) else None


def byte_lines(data: bytes, *, cut: bool = False) -> list[str]:
    """Return the bytes as lines that a terminal can show."""
    text = as_text(data, cut=cut)
    if text is not None:
        return plain(text.replace("\r\n", "\n")).split("\n")
    lines = [_hex_line(data, at) for at in range(0, min(len(data), _HEX_BYTES), _ROW)]
    if len(data) > _HEX_BYTES:
        lines.append(f"... and {counted(len(data) - _HEX_BYTES, 'byte')} more, which --json has")
    return lines


def _hex_line(data: bytes, at: int) -> str:
    row = data[at : at + _ROW]
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
    return f"{at:08x}  {row.hex(' '):<{3 * _ROW - 1}}  {shown}"

"""Text is shown as text, all else as hex."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.byte_lines import as_text, byte_lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", [""]),
        (b"one\ttwo\r\nthree", ["one\ttwo", "three"]),
        ("caf\u00e9 \u6771".encode(), ["caf\u00e9 \u6771"]),
        (b"\x1b[31m", ["00000000  1b 5b 33 31 6d                                   .[31m"]),
        (
            bytes(range(65, 82)) + b"\xff",
            [
                "00000000  41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f 50  ABCDEFGHIJKLMNOP",
                "00000010  51 ff                                            Q.",
            ],
        ),
    ],
)
def test_lines(data: bytes, lines: list[str]) -> None:
    assert byte_lines(data) == lines


def test_cut_text_may_end_within_a_character() -> None:
    assert as_text("caf\u00e9".encode()[:-1], cut=True) == "caf"
    assert as_text("caf\u00e9".encode()[:-1]) is None


def test_much_hex_ends_with_how_much_more_there_is() -> None:
    lines = byte_lines(b"\x00" * 5_000)
    assert len(lines) == 257
    assert lines[-1] == "... and 904 bytes more, which --json has"


@given(st.binary())
def test_any_bytes_give_lines_that_a_terminal_obeys_in_nothing(data: bytes) -> None:
    assert all(char.isprintable() or char == "\t" for line in byte_lines(data) for char in line)

"""The same rows, whatever program saved the file."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.files import bounded_lines, numbered_lines, text_of
from tests.support.encoded import MARKED, marked

seeded = settings(max_examples=150, deadline=None, derandomize=True)
#: No NUL: in the first line of a file without a mark it stands for UTF-16.
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), max_size=40), max_size=8)
ends = st.sampled_from(["\n", "\r\n"])


class Drip(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe may."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self._size = size

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(self._size if size is None or size < 0 else min(size, self._size))


@pytest.mark.parametrize("name", MARKED)
@seeded
@given(lines=texts, end=ends, ended=st.booleans(), size=st.integers(1, 7))
def test_an_encoding_with_a_mark_gives_the_rows_of_plain_utf8(
    name: str, lines: list[str], end: str, ended: bool, size: int
) -> None:
    text = end.join(lines) + (end if ended else "")
    plain = list(numbered_lines(io.BytesIO(text.encode()), "a file"))
    assert list(numbered_lines(io.BytesIO(marked(text, name)), "a file")) == plain
    assert list(numbered_lines(Drip(marked(text, name), size), "a file")) == plain
    assert list(numbered_lines(Drip(text.encode(), size), "a file")) == plain


@seeded
@given(content=st.binary(max_size=60).filter(lambda content: b"\0" not in content), size=st.integers(1, 5))
def test_bytes_without_a_mark_pass_as_they_are(content: bytes, size: int) -> None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return
    expected = [line.rstrip(b"\r\n") for line in content.split(b"\n")]
    expected = [line[3:] if line.startswith(b"\xef\xbb\xbf") else line for line in expected]
    assert list(bounded_lines(Drip(content, size))) == [line for line in expected if line.strip()]


@pytest.mark.parametrize("name", MARKED)
@seeded
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_whole_text_is_the_same_too(name: str, text: str) -> None:
    assert text_of(marked(text, name), "a file") == text

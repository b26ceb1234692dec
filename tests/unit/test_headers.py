"""What records carry in headers can be read again, and nonsense in them says nothing."""

from __future__ import annotations

import pytest

from schemas.headers import CLOSING_HEADER, Closing

CLOSING = Closing(state="redriven", by="ada", at_ms=17, note="caf\u00e9", run=3)


def test_a_closing_survives_the_wire() -> None:
    assert Closing.of([("other", b"x"), CLOSING.header()]) == CLOSING
    bare = Closing(state="discarded", by="ada", at_ms=17)
    assert Closing.of([bare.header()]) == bare
    assert b"run" not in bare.header()[1]


@pytest.mark.parametrize("value", [b"", b"x", b"null", b'{"state": "eaten", "by": "ada", "at_ms": 1}', b"\xff"])
def test_what_cannot_be_read_says_nothing(value: bytes) -> None:
    assert Closing.of([(CLOSING_HEADER, value)]) is None
    assert Closing.of([]) is None

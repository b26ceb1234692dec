"""Times as an operator types them."""

from __future__ import annotations

import time

import pytest

from streams.cli.since import since_ms
from streams.errors import SettingsError


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800)])
def test_how_long_ago(text: str, seconds: int) -> None:
    before = time.time_ns() // 1_000_000
    found = since_ms(text)
    assert before - 1 <= found + 1000 * seconds <= time.time_ns() // 1_000_000 + 1


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2023-11-14", 1_699_920_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14 23:13:20+01:00", 1_700_000_000_000),
        (None, 0),
    ],
)
def test_when(text: str | None, at_ms: int) -> None:
    assert since_ms(text) == at_ms


@pytest.mark.parametrize("text", ["", "yesterday", "2h30m", "-2h", "9999999d", "2023-02-30"])
def test_any_other_text_is_refused_with_examples(text: str) -> None:
    with pytest.raises(SettingsError, match="30m, 2h, 7d or a time"):
        since_ms(text)

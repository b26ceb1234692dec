"""How long a provider asks to be left alone, in every way that providers say it."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from streams.models.retry_after import retry_after

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after-ms": "12.5"}, 0.0125),
        ({"retry-after-ms": "300", "retry-after": "9"}, 0.3),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Saturday, 21-Nov-26 12:01:00 GMT"}, 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"x-ratelimit-reset-requests": "12ms"}, 0.012),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "4"}, 4.0),
        ({"retry-after": "1", "x-ratelimit-reset-tokens": "6m0s"}, 1.0),
        ({"retry-after": "whenever", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Mon, 01 Jan 99999 00:00:00 GMT"}, None),
        ({"x-ratelimit-reset-tokens": "6 minutes"}, None),
        ({"x-ratelimit-reset-tokens": "s"}, None),
    ],
)
def test_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == (seconds if seconds is None else pytest.approx(seconds))


def test_http_headers_are_read_whatever_their_case() -> None:
    assert retry_after(httpx.Headers({"Retry-After-MS": "20"})) == pytest.approx(0.02)


def test_the_present_is_the_default() -> None:
    assert retry_after({"retry-after": "Sat, 01 Jan 2000 00:00:00 GMT"}) == 0.0


def test_the_state_of_a_limit_counts_only_where_the_limit_was_met() -> None:
    """OpenAI sends these on every response, a 500 among them: a full bucket in six minutes is no wish to be left alone."""
    headers = {"x-ratelimit-reset-tokens": "6m0s"}
    assert retry_after(headers, NOW, limited=False) is None
    assert retry_after({**headers, "retry-after": "3"}, NOW, limited=False) == 3.0

"""What an endpoint's settings take and refuse, and where its key and its price come from."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from streams.errors import SettingsError
from streams.models.endpoint import Endpoint
from streams.models.prices import Price

URL = "https://api.example.com/v1"


def endpoint(**changes: Any) -> Endpoint:
    return Endpoint(**({"base_url": URL, "model": "gpt-4o-mini"} | changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "api.example.com/v1"),
        ("base_url", "ftp://api.example.com"),
        ("base_url", "https://"),
        ("base_url", "http:///v1"),
        ("base_url", "http://["),
        ("base_url", "http://host:99999/v1"),
        ("base_url", "http://host:port/v1"),
        ("base_url", "https://api example.com"),
        ("base_url", "https://user:password@api.example.com/v1"),
        ("base_url", "https://api.example.com/v1?key=abc"),
        ("model", ""),
        ("top_logprobs", 0),
        ("top_logprobs", 21),
        ("top_logprobs", None),
        ("max_tokens", 0),
        ("max_tokens_field", "max_output_tokens"),
        ("temperature", float("nan")),
        ("temperature", 2.1),
        ("top_p", 0),
        ("timeout_s", 0),
        ("timeout_s", float("inf")),
        ("timeout_s", float("nan")),
        ("deadline_s", -1),
        ("attempts", 0),
        ("concurrency", 0),
        ("api_key", "sk-1"),
        ("api_key_env", "sk-live-1234"),
        ("input_usd_per_million", float("inf")),
        ("input_usd_per_million", -1),
        ("extra", {"top_logprobs": None}),
        ("extra", {"logprobs": False}),
        ("extra", {"messages": []}),
        ("extra", {"temperature": 1}),
        ("extra", {"max_completion_tokens": 5}),
        ("extra", {"stream": True}),
        ("extra", {"n": 3}),
        ("extra", {"huge": 10**30}),
        ("extra", {"when": object()}),
    ],
)
def test_impossible_values(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        endpoint(**{field: value})


def test_takes_what_providers_need() -> None:
    thinking = {"thinking": {"type": "disabled"}, "seen": datetime.date(2026, 1, 1)}
    taken = endpoint(base_url="http://[::1]:8000/v1/", max_tokens_field="max_completion_tokens", extra=thinking)
    assert taken.extra == thinking


def test_price_of_the_list_or_its_own() -> None:
    assert endpoint().price == Price(0.15, 0.60)
    assert endpoint(model="mine", input_usd_per_million=0, output_usd_per_million=0).price == Price(0, 0)
    assert endpoint(model="mine").price is None


def test_half_a_price_is_none() -> None:
    with pytest.raises(ValidationError, match="both or neither"):
        endpoint(input_usd_per_million=1.0)


def test_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", " sk-0123456789\n")
    key = endpoint(api_key_env="MODEL_KEY").api_key()
    assert key is not None
    assert key.get_secret_value() == "sk-0123456789"
    assert "sk-0123456789" not in repr(key)
    assert endpoint().api_key() is None


@pytest.mark.parametrize("key", [None, "", "  ", "sk-\u2026abc", "sk-a\nb", "sk-a\x7fb"])
def test_a_key_that_cannot_be_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    if key is None:
        monkeypatch.delenv("MODEL_KEY", raising=False)
    else:
        monkeypatch.setenv("MODEL_KEY", key)
    with pytest.raises(SettingsError, match="MODEL_KEY") as caught:
        endpoint(api_key_env="MODEL_KEY").api_key()
    assert "sk-" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1

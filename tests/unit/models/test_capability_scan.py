"""Scanning endpoints: what they give, and how the scan adapts to what they demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import stamina

from streams.models.capability_scan import Scanned, scan
from streams.models.probed_endpoint import ProbedEndpoint
from tests.support.bodies import Tok, chat

URL = "http://model.test/v1"
Answer = Callable[[dict[str, Any]], httpx.Response]


@pytest.fixture(autouse=True)
def no_waiting() -> None:
    stamina.set_testing(True, attempts=2)
    yield
    stamina.set_testing(False)


def good(asked: dict[str, Any]) -> httpx.Response:
    ways = ("no", "Yes", "ja", "oui", "si", "da", "hai")[: asked["top_logprobs"] - 1]
    body = chat([Tok("yes", 0.9, dict.fromkeys(ways, 0.01))])
    return httpx.Response(200, json={**body, "model": "m-2026-08-01"})


def refused(message: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}})


async def scanned(answer: Answer, **changes: Any) -> tuple[Scanned, list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content) | {"path": request.url.path})
        return answer(asked[-1])

    endpoint = ProbedEndpoint(**({"name": "mine", "base_url": URL, "model": "m"} | changes))
    return await scan(endpoint, transport=httpx.MockTransport(reply)), asked


async def test_an_endpoint_that_gives_everything_at_one_token() -> None:
    result, [asked] = await scanned(good)
    assert (result.name, result.model, result.model_returned) == ("mine", "m", "m-2026-08-01")
    assert (result.logprobs, result.reason, result.shape, result.k) == (True, None, "chat/content", 8)
    assert (result.min_output_tokens, result.adapted) == (1, ())
    assert (asked["path"], asked["top_logprobs"], asked["max_tokens"]) == ("/v1/chat/completions", 20, 1)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
        "max_tokens must be at least 16",
        "The minimum value for max_tokens is: 16",
        "max_tokens: 1 is less than the minimum of 16",
        "max_tokens should be greater than or equal to 16",
    ],
)
async def test_a_demand_for_a_longer_answer_is_met(message: str) -> None:
    result, asked = await scanned(lambda body: good(body) if body["max_tokens"] >= 16 else refused(message))
    assert [body["max_tokens"] for body in asked] == [1, 16]
    assert (result.logprobs, result.min_output_tokens) == (True, 16)
    assert result.adapted == ("16 output tokens instead of 1",)


async def test_another_name_for_the_length() -> None:
    def answer(body: dict[str, Any]) -> httpx.Response:
        if "max_tokens" in body:
            return refused("'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
        return good(body) if body["max_completion_tokens"] >= 16 else refused("max_completion_tokens must be >= 16")

    result, asked = await scanned(answer)
    assert len(asked) == 3
    assert (result.logprobs, result.min_output_tokens) == (True, 16)


@pytest.mark.parametrize("message", ["top_logprobs must be less than or equal to 5", "top_logprobs: at most 5"])
async def test_fewer_alternatives_where_that_is_the_most(message: str) -> None:
    result, asked = await scanned(lambda body: good(body) if body["top_logprobs"] <= 5 else refused(message))
    assert [body["top_logprobs"] for body in asked] == [20, 5]
    assert (result.logprobs, result.k, result.k_asked) == (True, 5, 5)


async def test_fewer_and_fewer_where_no_number_is_named() -> None:
    result, asked = await scanned(
        lambda body: good(body) if body["top_logprobs"] <= 5 else refused("top_logprobs is wrong")
    )
    assert [body["top_logprobs"] for body in asked] == [20, 8, 5]
    assert result.k == 5


async def test_a_model_that_thinks_before_its_first_word_gets_room() -> None:
    empty = {"choices": [{"message": {"content": ""}, "finish_reason": "length", "logprobs": None}]}
    result, asked = await scanned(
        lambda body: good(body) if body["max_tokens"] >= 64 else httpx.Response(200, json=empty)
    )
    assert [body["max_tokens"] for body in asked] == [1, 16, 64]
    assert result.min_output_tokens == 64


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (httpx.Response(200, json=chat([Tok("yes", 0.9)], logprobs=None)), "logprobs_null"),
        (httpx.Response(200, json=chat([Tok("yes", 0.9)])), "no_alternatives"),
        (refused("This model does not support logprobs."), "capability"),
        (refused("something else"), "request_refused"),
        (refused("no such key", 401), "refused"),
        (refused("overloaded", 503), "no_answer"),
        (httpx.Response(200, content=b"<html>"), "not_json"),
    ],
)
async def test_an_endpoint_that_gives_none(response: httpx.Response, reason: str) -> None:
    result, _ = await scanned(lambda _: httpx.Response(response.status_code, content=response.content))
    assert (result.logprobs, result.reason, result.k, result.min_output_tokens) == (False, reason, None, None)
    assert result.detail


async def test_an_endpoint_that_is_away() -> None:
    def away(_: dict[str, Any]) -> httpx.Response:
        raise httpx.ConnectError("no route")

    result, _ = await scanned(away)
    assert (result.logprobs, result.reason, result.detail) == (
        False,
        "no_answer",
        "endpoint mine at http://model.test:80/v1 cannot be asked: connection failed, ConnectError",
    )


async def test_parallel_lists_are_another_shape() -> None:
    logprobs = {"tokens": ["yes"], "token_logprobs": [-0.1], "top_logprobs": [{"yes": -0.1, "no": -3.0}]}
    body = {"choices": [{"text": "yes", "finish_reason": "stop", "logprobs": logprobs}]}
    result, [asked] = await scanned(lambda _: httpx.Response(200, json=body), api="completions")
    assert (result.shape, result.k) == ("legacy/tokens", 2)
    assert (asked["path"], asked["logprobs"]) == ("/v1/completions", 20)


async def test_the_responses_api() -> None:
    part = {
        "type": "output_text",
        "text": "yes",
        "logprobs": [
            {
                "token": "yes",
                "logprob": -0.1,
                "top_logprobs": [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -3}],
            }
        ],
    }

    def answer(asked: dict[str, Any]) -> httpx.Response:
        if asked["max_output_tokens"] < 16:
            return refused(
                "integer below minimum value. Expected a value >= 16, but got 1 instead. (max_output_tokens)"
            )
        return httpx.Response(200, json={"output": [{"type": "message", "content": [part]}], "status": "completed"})

    result, asked = await scanned(answer, api="responses")
    assert (result.shape, result.k, result.min_output_tokens) == ("responses", 2, 16)
    assert asked[0]["include"] == ["message.output_text.logprobs"]


async def test_an_endpoint_that_demands_ever_more_is_given_up() -> None:
    result, asked = await scanned(lambda body: refused(f"max_tokens must be at least {body['max_tokens'] + 1}"))
    assert len(asked) == 12
    assert result.reason == "request_refused"


async def test_the_key_stays_out_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-live-0123456789abcdef"
    monkeypatch.setenv("SCAN_KEY", key)
    result, _ = await scanned(lambda _: refused(f"bad key {key}", 401), api_key_env="SCAN_KEY")
    assert key not in result.detail

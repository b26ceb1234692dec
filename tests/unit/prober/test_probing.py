"""One endpoint's prober against every way in which it can answer, refuse or fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stamina

from schemas import Probe
from streams.errors import SettingsError
from streams.models.probed_endpoint import ProbedEndpoint
from streams.prober.probing import Probing
from tests.support.bodies import Tok, chat

GOOD = chat([Tok("a", 0.6, {"b": 0.3})])
SLOT = 7_200_000


@pytest.fixture(autouse=True)
def no_backoff() -> Iterator[None]:
    stamina.set_testing(True, attempts=3, cap=True)
    yield
    stamina.set_testing(False)


class Api:
    """An endpoint that gives its replies in order, the last one again and again."""

    def __init__(self, *replies: httpx.Response | Exception, **endpoint: Any) -> None:
        self._replies = list(replies)
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        fields = {"name": "mini", "base_url": "http://model.test/v1", "model": "gpt-4o-mini"}
        self.probing = Probing(
            ProbedEndpoint(**(fields | endpoint)), transport=httpx.MockTransport(self), wall_ms=lambda: SLOT + 77
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        self.paths.append(request.url.path)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    async def probe(self, slot: int = SLOT) -> Probe:
        return await self.probing.probe(slot)


def ok(body: Any = GOOD) -> httpx.Response:
    return httpx.Response(200, json=body)


def error(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}})


async def test_one_short_prompt_and_one_token_with_its_alternatives() -> None:
    api = Api(ok())
    probe = await api.probe()
    assert api.bodies == [
        {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": True,
            "top_logprobs": 20,
        }
    ]
    assert probe.logprobs == pytest.approx({"a": -0.5108, "b": -1.204}, abs=1e-3)
    assert (probe.endpoint, probe.at_ms, probe.prompt, probe.temperature, probe.k_asked) == (
        "mini",
        SLOT + 77,
        "x",
        0,
        20,
    )
    assert (probe.model_asked, probe.model_returned, probe.error) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", None)
    assert probe.cost_usd == pytest.approx((120 * 0.15 + 1 * 0.60) / 1e6)


async def test_the_id_is_the_slots() -> None:
    first, again, later = [await Api(ok()).probe(slot) for slot in (SLOT, SLOT, 2 * SLOT)]
    assert first.probe_id == again.probe_id != later.probe_id


async def test_more_tokens_and_fewer_alternatives_where_the_api_demands_it_and_remembered() -> None:
    api = Api(
        error(400, "'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1."),
        error(400, "top_logprobs must be at most 5"),
        ok(),
    )
    assert (await api.probe()).k_asked == 5
    await api.probe()
    assert [(body["max_tokens"], body["top_logprobs"]) for body in api.bodies] == [(1, 20), (16, 20), (16, 5), (16, 5)]


async def test_an_empty_answer_is_asked_for_at_more_length_and_all_of_it_is_paid() -> None:
    empty = chat([], text="", finish="length", logprobs=None)
    api = Api(ok(empty), ok())
    probe = await api.probe()
    assert probe.logprobs is not None
    assert [body["max_tokens"] for body in api.bodies] == [1, 16]
    assert (probe.prompt_tokens, probe.completion_tokens) == (240, 1)


async def test_what_led_to_nothing_is_not_asked_for_again() -> None:
    api = Api(ok(chat([], text="", finish="length", logprobs=None)))
    assert (await api.probe()).error == "truncated: the answer was cut before its first character"
    await api.probe()
    assert [body["max_tokens"] for body in api.bodies] == [1, 16, 64] * 2


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (error(401, "no such key"), "refused: "),
        (error(400, "logprobs are not supported with this model"), "http_400: "),
        (error(400, "the prompt is not allowed"), "http_400: "),
        (error(500, "broken"), "http_500: "),
        (error(429, "slow down: at least 20 tokens wait"), "http_429: "),
        (httpx.ConnectError("nobody there"), "connection: "),
        (httpx.Response(200, content=b"<html>"), "not_json: "),
        (ok(chat([Tok("a", 0.5, {"b": 1.9})])), "impossible_logprob: "),
    ],
)
async def test_what_goes_wrong_is_named_and_never_raised(reply: httpx.Response | Exception, said: str) -> None:
    probe = await Api(reply).probe()
    assert probe.logprobs is None
    assert probe.error is not None
    assert probe.error.startswith(said)
    assert len(probe.error) <= 300
    assert Probe.decode(probe.encode()) == probe


async def test_a_failure_that_passes_does_not_change_what_is_asked() -> None:
    api = Api(error(429, "at most 5 logprobs for at least 16 tokens"))
    await api.probe()
    assert {(body["max_tokens"], body["top_logprobs"]) for body in api.bodies} == {(1, 20)}


async def test_no_logprobs_are_a_state_and_no_error() -> None:
    probe = await Api(ok(chat([Tok("a", 0.5)], logprobs=None))).probe()
    assert (probe.logprobs, probe.error) == (None, None)
    assert probe.model_returned is not None


@pytest.mark.parametrize(("api", "path"), [("completions", "/v1/completions"), ("responses", "/v1/responses")])
async def test_the_other_apis(api: str, path: str) -> None:
    endpoint = Api(ok(), api=api, prompt="y")
    await endpoint.probe()
    assert endpoint.paths == [path]
    assert "y" in endpoint.bodies[0].values()


def test_a_key_that_is_not_there_is_a_setting_to_mend() -> None:
    with pytest.raises(SettingsError, match="NO_SUCH_KEY"):
        Api(ok(), api_key_env="NO_SUCH_KEY")

"""The model client against every way in which an endpoint can answer, fail, or be slow."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import stamina
from aiohttp import web
from structlog.testing import capture_logs

from schemas import Call, Reason, Scored, ShownExample, Unscorable
from streams.core.memory.example import Example
from streams.core.memory.recall import NearExample, Recalled
from streams.core.signal.instructions import ExampleRule, Prompt
from streams.core.signal.labels import LabelSet
from streams.errors import SettingsError, StopWorker
from streams.models.classifier import ModelClient
from streams.models.endpoint import Endpoint
from tests.support.bodies import Tok, chat

LABELS = LabelSet(["refund", "shipping", "account"])
ENDPOINT_NAME = "the cheap tier's endpoint at http://model.test:80/v1"
KEY = "sk-live-0123456789abcdef"
GOOD = chat([Tok("refund", 0.9, {"shipping": 0.06, "account": 0.04})])
GOOD_COST = (120 * 0.15 + 1 * 0.60) / 1e6

Reply = httpx.Response | Exception


def endpoint(**changes: Any) -> Endpoint:
    return Endpoint(**({"base_url": "http://model.test/v1", "model": "gpt-4o-mini"} | changes))


async def no_answer(_: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


class Script:
    """A transport that gives the replies of a script, the last one again and again, and keeps the requests."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        # Each reply may be given more than once, and a response is read only once.
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    async def ask(self, text: str = "Where is my money?", **changes: Any) -> Call:
        async with ModelClient("cheap", endpoint(**changes), LABELS, transport=httpx.MockTransport(self)) as client:
            return await client.ask(text)

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.requests[-1].content)
        return body


def ok(body: Any = GOOD) -> httpx.Response:
    return httpx.Response(200, json=body)


def error(status: int, message: str = "no", **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return httpx.Response(status, json={"error": {"message": message, **more}}, headers=headers)


def outcomes(call: Call) -> list[str]:
    return [attempt.outcome for attempt in call.attempts]


@pytest.fixture(autouse=True)
def no_backoff() -> Iterator[None]:
    stamina.set_testing(True, attempts=100, cap=True)
    yield
    stamina.set_testing(False)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, in seconds; none of them takes any time."""
    stamina.set_testing(False)
    slept: list[float] = []

    async def sleep(seconds: float, result: Any = None) -> Any:
        slept.append(seconds)
        return result

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


class TestAnswers:
    async def test_a_good_answer(self) -> None:
        call = await Script(ok()).ask()
        assert isinstance(call.signal, Scored)
        assert call.signal.label == call.answer == "refund"
        assert call.signal.confidence == pytest.approx(0.9)
        assert (call.tier, call.model_asked) == ("cheap", "gpt-4o-mini")
        assert (call.model_returned, call.fingerprint) == ("gpt-4o-mini-2024-07-18", "fp_44709d6fcb")
        assert call.prompt_hash == Prompt(LABELS.labels).hash
        [attempt] = call.attempts
        assert (attempt.outcome, attempt.prompt_tokens, attempt.completion_tokens) == ("ok", 120, 1)
        assert attempt.cost_usd == pytest.approx(GOOD_COST)
        assert attempt.latency_ms >= 0
        assert attempt.at_ms > 1_700_000_000_000

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"<html>upstream error</html>", Reason.NOT_JSON),
            (b"", Reason.NO_ANSWER),
            (b"null", Reason.NO_ANSWER),
            (b"\xff\xfe\x00", Reason.NOT_JSON),
            (b"[" * 100_000, Reason.NOT_JSON),
            (b"{}", Reason.UNKNOWN_SHAPE),
            (b'{"choices": []}', Reason.NO_CONTENT),
            (b'{"error": {"message": "overloaded"}}', Reason.ERROR_BODY),
        ],
    )
    async def test_a_200_that_says_nothing_is_one_paid_attempt_without_a_signal(
        self, content: bytes, reason: Reason
    ) -> None:
        script = Script(httpx.Response(200, content=content))
        call = await script.ask()
        assert isinstance(call.signal, Unscorable)
        assert call.signal.reason == reason
        assert outcomes(call) == ["unscorable"]
        assert len(script.requests) == 1

    async def test_an_answer_without_logprobs_names_its_label_and_its_cost(self) -> None:
        body = chat([Tok("refund", 0.9)], logprobs=None)
        call = await Script(ok(body)).ask()
        assert call.signal == Unscorable(reason=Reason.LOGPROBS_NULL, detail=call.signal.detail, label="refund")  # type: ignore[union-attr]
        assert call.cost_usd == pytest.approx(GOOD_COST)

    async def test_without_a_usage_the_cost_is_estimated_and_says_so(self) -> None:
        silent = {name: value for name, value in GOOD.items() if name != "usage"}
        (known,), (guessed,) = (await Script(ok()).ask()).attempts, (await Script(ok(silent)).ask()).attempts
        assert not known.estimated
        assert guessed.estimated
        assert guessed.cost_usd > 0

    async def test_whatever_text_comes_back_fits_into_a_message(self) -> None:
        for text in ("\ud800", "x" * 100_000, "\x00\u2028"):
            body = json.dumps(chat([Tok("refund", 0.9)], text, model=text)).encode()
            call = await Script(httpx.Response(200, content=body)).ask()
            assert len(call.answer or "") <= 1_000
            assert Call.model_validate_json(call.model_dump_json()) == call


class TestRequest:
    async def test_body_and_address(self) -> None:
        script = Script(ok())
        await script.ask("Where is it?", base_url="http://model.test/v1/", top_logprobs=5, max_tokens=7)
        assert str(script.requests[0].url) == "http://model.test/v1/chat/completions"
        assert script.requests[0].method == "POST"
        assert script.requests[0].headers["content-type"] == "application/json"
        assert "authorization" not in script.requests[0].headers
        assert script.body == {
            "model": "gpt-4o-mini",
            "messages": list(Prompt(LABELS.labels).messages("Where is it?")),
            "logprobs": True,
            "top_logprobs": 5,
            "temperature": 0.0,
            "top_p": 1.0,
            "max_tokens": 7,
        }

    async def test_reasoning_models_and_extra_fields(self) -> None:
        script = Script(ok())
        await script.ask(max_tokens_field="max_completion_tokens", extra={"thinking": {"type": "disabled"}})
        assert script.body["max_completion_tokens"] == 16
        assert "max_tokens" not in script.body
        assert script.body["thinking"] == {"type": "disabled"}

    async def test_no_field_is_ever_null(self) -> None:
        script = Script(ok())
        await script.ask()
        assert None not in script.body.values()

    async def test_a_ticket_is_sent_as_it_is(self) -> None:
        script = Script(ok())
        text = '"}],"model":"other" \u2028\x00 \U0001f600'
        await script.ask(text)
        assert script.body["messages"][1]["content"] == text
        assert script.body["model"] == "gpt-4o-mini"


class TestRetries:
    async def test_what_was_paid_before_is_on_record(self) -> None:
        script = Script(error(500), httpx.ReadError("gone"), error(429), ok())
        call = await script.ask()
        assert isinstance(call.signal, Scored)
        assert outcomes(call) == ["http_500", "cut_off", "http_429", "ok"]
        assert call.cost_usd == pytest.approx(GOOD_COST)

    @pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
    async def test_gives_up_after_the_attempts_that_are_allowed(self, status: int) -> None:
        script = Script(error(status, "not now"))
        call = await script.ask(attempts=3)
        answers = f"the cheap tier's endpoint at http://model.test:80/v1 answers {status}: not now"
        way_out = "; lower its concurrency, or ask for a higher limit" if status == 429 else ""
        assert call.signal == Unscorable(reason=Reason.NO_ANSWER, detail=answers + way_out)
        assert outcomes(call) == [f"http_{status}"] * 3
        assert call.answer is call.model_returned is None
        assert len(script.requests) == 3

    @pytest.mark.parametrize(
        ("failure", "outcome"),
        [
            (httpx.ConnectError("refused"), "connection"),
            (httpx.RemoteProtocolError("cut"), "cut_off"),
            (httpx.ReadTimeout("slow"), "timeout"),
            (httpx.ConnectTimeout("slow"), "connect_timeout"),
            (httpx.PoolTimeout("full"), "timeout"),
        ],
    )
    async def test_failures_on_the_way(self, failure: Exception, outcome: str) -> None:
        call = await Script(failure).ask(attempts=2)
        assert isinstance(call.signal, Unscorable)
        assert call.signal.reason == Reason.NO_ANSWER
        assert outcomes(call) == [outcome] * 2

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry-after": "1.5"}, 1.5),
            ({"retry-after-ms": "750"}, 0.75),
            ({"x-ratelimit-reset-requests": "2s"}, 2.0),
            ({"retry-after": "0"}, 0.2),
            ({"retry-after": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0.2),
            ({"retry-after": "15"}, 15.0),
        ],
    )
    async def test_waits_as_long_as_it_is_asked_to(
        self, waits: list[float], headers: dict[str, str], seconds: float
    ) -> None:
        call = await Script(error(429, headers=headers), ok()).ask()
        assert outcomes(call) == ["http_429", "ok"]
        assert waits == [pytest.approx(seconds)]

    async def test_never_asks_earlier_than_a_provider_wishes(self, waits: list[float]) -> None:
        await Script(error(503, headers={"retry-after": "600"}), ok()).ask(deadline_s=1000)
        assert waits == [600]

    async def test_a_wait_beyond_the_deadline_ends_with_the_deadline(self) -> None:
        stamina.set_testing(False)
        script = Script(error(429, headers={"retry-after": "3600"}), ok())
        call = await script.ask(deadline_s=0.05)
        assert outcomes(call) == ["http_429"]
        assert call.signal == Unscorable(
            reason=Reason.NO_ANSWER, detail=f"{ENDPOINT_NAME} gave no answer within 0.05 s (deadline_s)"
        )
        assert len(script.requests) == 1

    async def test_the_state_of_a_limit_does_not_delay_a_server_error(self, waits: list[float]) -> None:
        await Script(error(500, headers={"x-ratelimit-reset-tokens": "6m0s"}), ok()).ask()
        assert len(waits) == 1
        assert waits[0] <= 1.0

    async def test_waits_longer_each_time_where_nothing_is_asked(self, waits: list[float]) -> None:
        await Script(error(500)).ask(attempts=5)
        assert len(waits) == 4
        assert 0.2 <= waits[0] < waits[2] < waits[3] <= 10


class TestRefusals:
    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            (error(400, "This model does not support logprobs."), Reason.CAPABILITY),
            (error(403, "You are not allowed to request logprobs from this model"), Reason.CAPABILITY),
            (error(422, "unexpected", param="top_logprobs"), Reason.CAPABILITY),
            (error(400, "Unsupported parameter", param="logprobs"), Reason.CAPABILITY),
            (error(400, "Logprobs are not supported"), Reason.CAPABILITY),
            (error(400, "x" * 400 + " logprobs"), Reason.CAPABILITY),
            (error(400, "This model's maximum context length is 8192 tokens"), Reason.REQUEST_REFUSED),
            (error(413, "too large"), Reason.REQUEST_REFUSED),
            (error(403, "Your chosen model requires moderation and your input was flagged"), Reason.REQUEST_REFUSED),
            (error(403, "no", code="content_policy_violation"), Reason.REQUEST_REFUSED),
            (error(422, "bad input"), Reason.REQUEST_REFUSED),
            (httpx.Response(400, content=b"<html>"), Reason.REQUEST_REFUSED),
            (httpx.Response(400, json=["no"]), Reason.REQUEST_REFUSED),
            (httpx.Response(400, json={"error": None}), Reason.REQUEST_REFUSED),
        ],
    )
    async def test_a_refused_request_is_not_asked_again(self, reply: httpx.Response, reason: Reason) -> None:
        script = Script(reply)
        call = await script.ask()
        assert isinstance(call.signal, Unscorable)
        assert call.signal.reason == reason
        assert str(reply.status_code) in call.signal.detail
        assert len(call.signal.detail.splitlines()) == 1
        assert len(call.signal.detail) < 400
        assert outcomes(call) == [f"http_{reply.status_code}"]
        assert call.cost_usd == 0
        assert len(script.requests) == 1

    @pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405])
    async def test_what_no_ticket_can_succeed_with_stops_the_worker(self, status: int) -> None:
        script = Script(error(status, "Incorrect API key\nor model", headers={"location": "http://login.test"}))
        with pytest.raises(
            StopWorker,
            match=f"cheap tier's endpoint at .*model.test.* refuses: {status}: Incorrect API key or model; ",
        ) as caught:
            await script.ask()
        assert len(str(caught.value).splitlines()) == 1
        assert len(script.requests) == 1

    @pytest.mark.parametrize(
        ("status", "code", "outcome"),
        [(429, "insufficient_quota", "quota_used_up"), (402, "credits", "http_402")],
    )
    async def test_an_account_without_money_is_no_answer_and_not_asked_again(
        self, status: int, code: str, outcome: str
    ) -> None:
        spent = Script(error(status, "You exceeded your current quota", code=code))
        call = await spent.ask()
        assert isinstance(call.signal, Unscorable)
        assert call.signal.reason is Reason.NO_ANSWER
        assert call.signal.detail.startswith(f"the account of {ENDPOINT_NAME} has no money or no quota left: {status}")
        assert outcomes(call) == [outcome]
        assert len(spent.requests) == 1

    async def test_a_rate_limit_passes(self) -> None:
        limited = Script(error(429, "Rate limit reached"), ok())
        assert isinstance((await limited.ask()).signal, Scored)


class TestKey:
    @pytest.fixture(autouse=True)
    def key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_KEY", KEY)

    async def test_is_sent_as_a_bearer_token(self) -> None:
        script = Script(ok())
        await script.ask(api_key_env="MODEL_KEY")
        assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
    @pytest.mark.parametrize("place", ["message", "param"])
    async def test_is_in_no_call_error_or_log_even_if_the_server_repeats_it(
        self, status: int, place: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        said: str
        with capture_logs() as logs:
            try:
                reply = error(status, **({"message": "wrong"} | {place: f"bad key {KEY}, Bearer {KEY}"}))
                said = (await Script(reply).ask(api_key_env="MODEL_KEY", attempts=2)).model_dump_json()
            except StopWorker as stopped:
                said = f"{stopped} {stopped!r} {stopped.__cause__!r} {stopped.__context__!r}"
        assert KEY not in said + repr(logs) + caplog.text

    async def test_is_in_no_call_even_if_the_answer_is_the_key(self) -> None:
        body = chat([Tok(KEY, 0.9, {"refund": 0.1})]) | {"model": KEY, "system_fingerprint": f"fp {KEY}"}
        call = await Script(ok(body)).ask(api_key_env="MODEL_KEY")
        assert KEY not in call.model_dump_json()
        assert KEY not in repr(call)

    async def test_is_in_no_text_about_the_client(self) -> None:
        async with ModelClient("cheap", endpoint(api_key_env="MODEL_KEY"), LABELS) as client:
            assert KEY not in f"{client!r} {client} {client.endpoint!r}"

    async def test_a_word_that_stands_for_no_key_leaves_answers_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_KEY", "refund")
        call = await Script(ok()).ask(api_key_env="MODEL_KEY")
        assert call.signal.label == "refund"

    async def test_a_variable_that_is_not_set_stops_at_the_start(self) -> None:
        with pytest.raises(SettingsError, match="OTHER_KEY"):
            ModelClient("cheap", endpoint(api_key_env="OTHER_KEY"), LABELS)

    async def test_calls_of_a_model_without_a_price_have_an_unknown_cost(self) -> None:
        call = await Script(ok()).ask(model="mine")
        assert call.signal.label == "refund"
        assert (call.cost_usd, call.attempts[-1].cost_usd) == (None, None)
        assert call.attempts[-1].prompt_tokens > 0


class TestLimits:
    async def test_never_more_requests_in_flight_than_allowed(self) -> None:
        now = most = 0
        full, release = asyncio.Event(), asyncio.Event()

        async def handle(_: httpx.Request) -> httpx.Response:
            nonlocal now, most
            now += 1
            most = max(most, now)
            if now == 3:
                full.set()
            await release.wait()
            now -= 1
            return ok()

        transport = httpx.MockTransport(handle)
        async with ModelClient("cheap", endpoint(concurrency=3), LABELS, transport=transport) as client:
            asks = [asyncio.create_task(client.ask(f"ticket {number}")) for number in range(12)]
            await full.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            assert now == 3
            release.set()
            calls = await asyncio.gather(*asks)
        assert most == 3
        assert all(isinstance(call.signal, Scored) for call in calls)

    async def test_a_call_that_waits_to_try_again_leaves_its_place_to_others(self) -> None:
        stamina.set_testing(False)
        waiting = asyncio.Event()

        async def handle(request: httpx.Request) -> httpx.Response:
            if "first" in json.loads(request.content)["messages"][1]["content"]:
                waiting.set()
                return error(429, headers={"retry-after": "30"})
            return ok()

        transport = httpx.MockTransport(handle)
        async with ModelClient("cheap", endpoint(concurrency=1), LABELS, transport=transport) as client:
            first = asyncio.create_task(client.ask("first"))
            await waiting.wait()
            assert isinstance((await client.ask("second")).signal, Scored)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

    async def test_cancellation_goes_through_and_frees_the_place(self) -> None:
        asked, hang = asyncio.Event(), [True]

        async def handle(_: httpx.Request) -> httpx.Response:
            asked.set()
            if hang[0]:
                await asyncio.Event().wait()
            return ok()

        transport = httpx.MockTransport(handle)
        async with ModelClient("cheap", endpoint(concurrency=1), LABELS, transport=transport) as client:
            task = asyncio.create_task(client.ask("x"))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            hang[0] = False
            assert isinstance((await client.ask("y")).signal, Scored)

    async def test_deadline_over_all_attempts(self) -> None:
        transport = httpx.MockTransport(no_answer)
        async with ModelClient("cheap", endpoint(deadline_s=0.05), LABELS, transport=transport) as client:
            call = await client.ask("x")
        assert call.signal == Unscorable(
            reason=Reason.NO_ANSWER, detail=f"{ENDPOINT_NAME} gave no answer within 0.05 s (deadline_s)"
        )
        assert outcomes(call) == ["deadline"]

    async def test_deadline_while_waiting_for_a_place_is_no_attempt(self) -> None:
        slow = endpoint(timeout_s=5.0, deadline_s=0.05, concurrency=1)
        async with ModelClient("cheap", slow, LABELS, transport=httpx.MockTransport(no_answer)) as client:
            calls = await asyncio.gather(client.ask("x"), client.ask("y"))
        assert [outcomes(call) for call in calls] == [["deadline"], []]

    async def test_deadline_in_the_second_attempt(self) -> None:
        slow = endpoint(timeout_s=0.3, deadline_s=0.5, attempts=5)
        async with ModelClient("cheap", slow, LABELS, transport=httpx.MockTransport(no_answer)) as client:
            assert outcomes(await client.ask("x")) == ["timeout", "deadline"]

    async def test_time_out_of_each_attempt(self) -> None:
        tries = 0

        async def handle(_: httpx.Request) -> httpx.Response:
            nonlocal tries
            tries += 1
            if tries == 1:
                await asyncio.Event().wait()
            return ok()

        transport = httpx.MockTransport(handle)
        async with ModelClient("cheap", endpoint(timeout_s=0.05), LABELS, transport=transport) as client:
            call = await client.ask("x")
        assert outcomes(call) == ["timeout", "ok"]


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(replies: Sequence[bytes]) -> AsyncIterator[str]:
    """A server that speaks what it is told, one reply a connection, and closes."""
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


class TestTransport:
    """On the transport that production uses, whose errors are its own."""

    async def ask(self, url: str, **changes: Any) -> Call:
        async with ModelClient("cheap", endpoint(base_url=url, **changes), LABELS) as client:
            return await client.ask("Where is my money?")

    async def test_answer(self) -> None:
        async def handle(request: web.Request) -> web.Response:
            assert request.headers["content-type"] == "application/json"
            assert (await request.json())["logprobs"] is True
            return web.json_response(GOOD)

        async with server(handle) as url:
            assert isinstance((await self.ask(url)).signal, Scored)

    async def test_nobody_listens(self) -> None:
        async with raw_server([]) as url:
            pass
        call = await self.ask(url, attempts=2)
        assert outcomes(call) == ["connection"] * 2

    async def test_connections_that_break_are_no_time_outs(self) -> None:
        half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"
        async with raw_server([b"", half, b"HTTP/1.1 200", b"not HTTP at all\r\n\r\n"]) as url:
            call = await self.ask(url, attempts=4)
        assert outcomes(call) == ["cut_off"] * 4
        assert isinstance(call.signal, Unscorable)
        assert call.signal.reason == Reason.NO_ANSWER

    async def test_a_compressed_body_that_is_none(self) -> None:
        broken = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello"
        async with raw_server([broken]) as url:
            assert outcomes(await self.ask(url, attempts=1)) == ["cut_off"]

    @pytest.mark.parametrize(
        "header",
        [b"server: \xff", b"x-foo: caf\xe9", b"retry-after: 1\xa0", b"x-ratelimit-reset-requests: 12\xc2\xb5s"],
    )
    async def test_any_bytes_in_the_headers_of_an_error(self, header: bytes) -> None:
        limited = b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n" + header + b"\r\n\r\n"
        async with raw_server([limited, limited]) as url:
            assert outcomes(await self.ask(url, attempts=2)) == ["http_429"] * 2

    @pytest.mark.parametrize("status", [b"200", b"429"])
    async def test_a_reason_that_is_no_text(self, status: bytes) -> None:
        async with raw_server([b"HTTP/1.1 " + status + b" caf\xe9\r\ncontent-length: 0\r\n\r\n"]) as url:
            assert outcomes(await self.ask(url, attempts=1)) == ["cut_off"]

    async def test_a_response_that_trickles_is_late(self) -> None:
        """Each piece comes in time and the whole never does."""

        async def handle(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)

        async with server(handle) as url:
            call = await self.ask(url, timeout_s=0.1, attempts=1)
        assert outcomes(call) == ["timeout"]

    async def test_silence_is_late(self) -> None:
        async def handle(_: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        async with server(handle) as url:
            call = await self.ask(url, timeout_s=0.1, attempts=1)
        assert outcomes(call) == ["timeout"]


async def test_what_the_memory_says_stands_in_the_request_and_in_the_call_whatever_came_of_it() -> None:
    near = NearExample(Example("e-1", "t-9", "Lost parcel", "shipping"), 0.8)
    recalled = Recalled(0.2, "shipping", 0.75, shown=(near,))
    prompt = Prompt(LABELS.labels, examples=ExampleRule(8, "minilm"))
    for script, answered in ((Script(ok()), True), (Script(error(400)), False)):
        async with ModelClient(
            "cheap", endpoint(), LABELS, prompt=prompt, transport=httpx.MockTransport(script)
        ) as client:
            call = await client.ask("Where is it?", recalled)
        assert [message["content"] for message in script.body["messages"]][1:] == [
            "Lost parcel",
            "shipping",
            "Where is it?",
        ]
        assert isinstance(call.signal, Scored) is answered
        assert (call.novelty, call.neighbour_label, call.neighbour_share) == (0.2, "shipping", 0.75)
        assert call.shown == (ShownExample(id="e-1", similarity=0.8),)
        assert call.prompt_hash == prompt.hash


async def test_without_a_memory_a_call_says_nothing_of_one() -> None:
    call = await Script(ok()).ask()
    assert (call.novelty, call.neighbour_label, call.neighbour_share, call.shown) == (None, None, None, ())


async def test_examples_count_where_the_tokens_of_a_prompt_are_guessed() -> None:
    without_usage = {name: value for name, value in GOOD.items() if name != "usage"}
    near = NearExample(Example("e-1", None, "x" * 400, "shipping"), 0.8)
    async with ModelClient(
        "cheap", endpoint(), LABELS, transport=httpx.MockTransport(Script(ok(without_usage)))
    ) as one:
        bare, shown = await one.ask("x"), await one.ask("x", Recalled(shown=(near,)))
    assert shown.attempts[0].prompt_tokens == bare.attempts[0].prompt_tokens + 100 + 2

"""The sandbox's model server over HTTP: bodies, refusals, every fault, and the process that runs it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx_aiohttp
import pytest

from streams.errors import SandboxError, SettingsError
from streams.sandbox.model_server import ModelServer
from streams.sandbox.model_server.damage import OTHER_MODEL
from streams.sandbox.model_server.faults import FaultName
from streams.sandbox.model_server.latency import Latency
from streams.sandbox.model_server.served import BIG, CHEAP, EMBEDDING
from streams.sandbox.model_server.server import ServerOptions, create_app, serving
from streams.sandbox.model_server.training import TrainedModels
from streams.sandbox.tickets import TRAIN

REAL_BODIES = Path(__file__).parents[3] / "shared" / "data" / "llama_server"
TEXT = "Where is my parcel? It should have come on Tuesday."
QUICK = Latency(base_ms=0.0)


@pytest.fixture
def models(trained: TrainedModels) -> TrainedModels:
    return trained


@asynccontextmanager
async def client_of(models: TrainedModels, *faults: str, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(models, ServerOptions(**({"latency": QUICK} | options)), faults=faults)
    async with serving(app) as url, httpx.AsyncClient(base_url=url, transport=httpx_aiohttp.AiohttpTransport()) as http:
        yield http


@pytest.fixture
async def http(models: TrainedModels) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(models) as http:
        yield http


def chat(model: str = CHEAP, text: str = TEXT, **changes: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Answer with one label."}, {"role": "user", "content": text}]
    asked = {"model": model, "messages": messages, "logprobs": True, "top_logprobs": 20, "temperature": 0}
    return {name: value for name, value in (asked | changes).items() if value is not None}


async def ask(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await http.post("/chat/completions", json=chat(**changes))
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def switch(http: httpx.AsyncClient, *faults: str) -> httpx.Response:
    return await http.post(str(http.base_url.join("/sandbox/faults")), json={"faults": list(faults)})


async def stats(http: httpx.AsyncClient) -> dict[str, Any]:
    counts: dict[str, Any] = (await http.get(str(http.base_url.join("/sandbox/stats")))).json()
    return counts


def keys(value: Any, path: str = "") -> set[str]:
    """Every path of keys in a body; list positions are left out."""
    if isinstance(value, dict):
        return {path, *(found for key, item in value.items() for found in keys(item, f"{path}.{key}"))}
    if isinstance(value, list):
        return {path, *(found for item in value for found in keys(item, path))}
    return {path}


async def test_a_chat_body_holds_the_answer_its_tokens_and_their_alternatives(
    http: httpx.AsyncClient, models: TrainedModels
) -> None:
    body = await ask(http, model=BIG)
    choice = body["choices"][0]
    assert body["model"] == "sandbox-big-2026-08-01"
    assert body["object"] == "chat.completion"
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "shipping"
    assert choice["logprobs"]["refusal"] is None
    (entry,) = choice["logprobs"]["content"]
    assert bytes(entry["bytes"]).decode() == entry["token"] == "shipping"
    assert len(entry["top_logprobs"]) == 20
    assert entry["top_logprobs"][0] == {name: entry[name] for name in ("token", "logprob", "bytes")}
    assert 0.95 < sum(math.exp(other["logprob"]) for other in entry["top_logprobs"]) < 1.0
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert len(TEXT) / 6 < usage["prompt_tokens"] < len(TEXT)
    expected = models.big.predict_log_proba(TEXT)[models.labels.index("shipping")]
    assert entry["logprob"] == pytest.approx(expected, abs=0.12), "spellings and other tokens take a few percent"


@pytest.mark.skipif(not REAL_BODIES.exists(), reason="the recorded llama.cpp bodies are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "changes"),
    [("chat_top_logprobs_20", {}), ("chat_no_logprobs", {"logprobs": None, "top_logprobs": None})],
)
async def test_bodies_have_every_key_of_a_real_servers(
    http: httpx.AsyncClient, name: str, changes: dict[str, Any]
) -> None:
    real = json.loads((REAL_BODIES / f"{name}.json").read_text())["response"]
    del real["timings"]
    its_own = {path for path in keys(real) if path.startswith(".choices.logprobs") and path.endswith(".id")}
    assert keys(real) - its_own <= keys(await ask(http, **changes))


async def test_an_answer_of_two_tokens_is_spelled_by_them_and_cut_by_the_limit(http: httpx.AsyncClient) -> None:
    text = "Please cancel my subscription, I do not want it any longer"
    whole = (await ask(http, text=text, model=BIG))["choices"][0]
    cut = (await ask(http, text=text, model=BIG, max_tokens=1))["choices"][0]
    assert [entry["token"] for entry in whole["logprobs"]["content"]] == ["cancel", "lation"]
    assert (whole["message"]["content"], whole["finish_reason"]) == ("cancellation", "stop")
    assert (cut["message"]["content"], cut["finish_reason"]) == ("cancel", "length")


async def test_without_asking_there_are_no_logprobs_and_without_k_no_alternatives(http: httpx.AsyncClient) -> None:
    assert (await ask(http, logprobs=None, top_logprobs=None))["choices"][0]["logprobs"] is None
    bare = await ask(http, top_logprobs=None)
    assert bare["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


async def test_calls_differ_by_the_jitter_and_repeat_without_it(models: TrainedModels) -> None:
    async def logprobs(jitter: float) -> list[float]:
        async with client_of(models, jitter=jitter) as http:
            return [(await ask(http))["choices"][0]["logprobs"]["content"][0]["logprob"] for _ in range(5)]

    jittered = await logprobs(0.01)
    assert len(set(jittered)) == 5
    assert max(jittered) - min(jittered) < 0.1
    assert jittered == await logprobs(0.01), "the same server seed gives the same noise"
    assert len(set(await logprobs(0.0))) == 1


async def test_the_noise_of_a_text_does_not_depend_on_what_else_is_asked(models: TrainedModels) -> None:
    async def logprobs(*texts: str) -> list[float]:
        async with client_of(models, jitter=0.01) as http:
            found = {text: (await ask(http, text=text))["choices"][0] for text in texts}
            return [found[text]["logprobs"]["content"][0]["logprob"] for text in sorted(found)]

    assert await logprobs("my refund", "my parcel", "sign in") == await logprobs("sign in", "my refund", "my parcel")


async def test_the_legacy_echo_gives_the_prompts_own_logprobs(http: httpx.AsyncClient) -> None:
    asked = {"model": CHEAP, "prompt": TEXT, "echo": True, "logprobs": 3, "max_tokens": 0}
    body = (await http.post("/completions", json=asked)).json()
    (choice,) = body["choices"]
    logprobs = choice["logprobs"]
    assert (body["object"], choice["text"]) == ("text_completion", TEXT)
    assert set(logprobs) == {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
    assert "".join(logprobs["tokens"]) == TEXT
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert TEXT[offset : offset + len(token)] == token
    assert logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
    rows = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    for token, logprob, top in list(rows)[1:]:
        assert top[token] == logprob < 0.0
        assert len(top) in (3, 4)
    assert body["usage"] | {"prompt_tokens_details": None} == {
        "prompt_tokens": len(logprobs["tokens"]),
        "completion_tokens": 0,
        "total_tokens": len(logprobs["tokens"]),
        "prompt_tokens_details": None,
    }


async def test_gibberish_has_less_likely_prompt_tokens_than_a_message(http: httpx.AsyncClient) -> None:
    prompts = ["Where is my order? It has not arrived yet.", "zx qwv jkpl mnbv ghtr wqq zzx"]
    asked = {"model": CHEAP, "prompt": prompts, "echo": True, "logprobs": 0, "max_tokens": 0}
    real, gibberish = (await http.post("/completions", json=asked)).json()["choices"]
    mean = [sum(c["logprobs"]["token_logprobs"][1:]) / len(c["logprobs"]["tokens"]) for c in (real, gibberish)]
    assert mean[0] > mean[1] + 3.0
    assert [real["index"], gibberish["index"]] == [0, 1]


async def test_legacy_completions_answer_after_the_prompt(http: httpx.AsyncClient) -> None:
    asked = {"model": BIG, "prompt": TEXT, "logprobs": 2, "temperature": 0}
    (plain,) = (await http.post("/completions", json=asked)).json()["choices"]
    assert plain["text"] == "".join(plain["logprobs"]["tokens"]) == "shipping"
    assert plain["logprobs"]["text_offset"] == [len(TEXT)]
    (echoed,) = (await http.post("/completions", json=asked | {"echo": True})).json()["choices"]
    assert echoed["text"] == TEXT + "shipping"
    assert echoed["logprobs"]["text_offset"][-1] == len(TEXT)
    (silent,) = (await http.post("/completions", json={"model": BIG, "prompt": TEXT, "temperature": 0})).json()[
        "choices"
    ]
    assert silent["logprobs"] is None


async def test_models_are_listed_and_dated_ids_are_taken(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/models")).json()
    dated = {f"{CHEAP}-2026-08-01", f"{BIG}-2026-08-01"}
    assert {model["id"] for model in listed["data"]} == {CHEAP, BIG, EMBEDDING, *dated}
    assert (await ask(http, model=f"{BIG}-2026-08-01"))["model"] == f"{BIG}-2026-08-01"


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "param", "code"),
    [
        ("POST", "/chat/completions", b"{", 400, None, None),
        ("POST", "/chat/completions", json.dumps(chat(logprobs=None)).encode(), 400, "top_logprobs", None),
        ("POST", "/chat/completions", json.dumps(chat(top_logprobs=21)).encode(), 400, "top_logprobs", None),
        ("POST", "/chat/completions", json.dumps(chat(model="gpt-4")).encode(), 404, "model", "model_not_found"),
        ("GET", "/chat/completions", b"", 405, None, None),
        ("POST", "/embeddings", b"{}", 400, "input", None),
        ("POST", "/nowhere", b"{}", 404, None, None),
    ],
)
async def test_refusals_have_openais_error_body(
    http: httpx.AsyncClient, method: str, path: str, content: bytes, status: int, param: str | None, code: str | None
) -> None:
    response = await http.request(method, path, content=content)
    error = response.json()["error"]
    assert response.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


async def test_a_wrong_key_is_refused(models: TrainedModels) -> None:
    async with client_of(models, api_key="right") as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            refused = await http.post("/chat/completions", json=chat(), headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert (await http.get("/models")).status_code == 401
        allowed = await http.post("/chat/completions", json=chat(), headers={"Authorization": "Bearer right"})
        assert allowed.status_code == 200


def logprobs_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["choices"][0]["logprobs"]
    return found


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("logprobs_null", lambda body: logprobs_of(body) is None),
        ("logprobs_absent", lambda body: "logprobs" not in body["choices"][0]),
        ("logprobs_empty", lambda body: logprobs_of(body) == {"content": [], "refusal": None}),
        ("top_logprobs_empty", lambda body: logprobs_of(body)["content"][0]["top_logprobs"] == []),
        ("truncated_k", lambda body: len(logprobs_of(body)["content"][0]["top_logprobs"]) == 2),
        ("positive_logprob", lambda body: logprobs_of(body)["content"][0]["logprob"] == 0.7),
        ("nan_logprob", lambda body: math.isnan(logprobs_of(body)["content"][0]["top_logprobs"][0]["logprob"])),
        ("wrong_model", lambda body: body["model"] == OTHER_MODEL),
    ],
)
async def test_faults_that_spoil_a_chat_body(
    models: TrainedModels, fault: str, seen: Callable[[dict[str, Any]], bool]
) -> None:
    async with client_of(models, f"{fault}=1") as http:
        body = await ask(http)
        assert body["choices"][0]["message"]["content"] in models.labels
        assert seen(body)
        assert (await stats(http))["faults"] == {fault: 1}
        await switch(http)
        assert not seen(await ask(http))


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("logprobs_null", lambda choice: choice["logprobs"] is None),
        ("logprobs_absent", lambda choice: "logprobs" not in choice),
        ("logprobs_empty", lambda choice: not any(choice["logprobs"].values())),
        ("top_logprobs_empty", lambda choice: not any(choice["logprobs"]["top_logprobs"])),
        ("truncated_k=1@1", lambda choice: {len(top) for top in choice["logprobs"]["top_logprobs"][1:]} == {1}),
        ("positive_logprob=1@0.5", lambda choice: choice["logprobs"]["token_logprobs"][-1] == 0.5),
        ("nan_logprob", lambda choice: math.isnan(choice["logprobs"]["token_logprobs"][-1])),
    ],
)
async def test_faults_that_spoil_a_legacy_body(
    models: TrainedModels, fault: str, seen: Callable[[dict[str, Any]], bool]
) -> None:
    async with client_of(models, fault if "=" in fault else f"{fault}=1") as http:
        asked = {"model": CHEAP, "prompt": TEXT, "echo": True, "logprobs": 4, "max_tokens": 0}
        (spoilt,) = (await http.post("/completions", json=asked)).json()["choices"]
        assert spoilt["text"] == TEXT
        assert seen(spoilt)
        await switch(http)
        (sound,) = (await http.post("/completions", json=asked)).json()["choices"]
        assert not seen(sound)


async def test_rate_limits_say_how_long_to_wait(models: TrainedModels) -> None:
    async with client_of(models, "rate_limit=1@0.05") as http:
        response = await http.post("/chat/completions", json=chat())
        assert response.status_code == 429
        assert response.json()["error"]["code"] == "rate_limit_exceeded"
        assert float(response.headers["retry-after"]) == 0.05
        assert float(response.headers["retry-after-ms"]) == 50


async def test_server_errors_and_garbage(models: TrainedModels) -> None:
    async with client_of(models, "server_error=1") as http:
        response = await http.post("/chat/completions", json=chat())
        assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
        await switch(http, "garbage=1")
        response = await http.post("/chat/completions", json=chat())
        assert response.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            response.json()


async def test_a_cut_answer_breaks_off(models: TrainedModels) -> None:
    async with client_of(models, "cut=1") as http:
        with pytest.raises(httpx.TransportError, match="not completed"):
            await http.post("/chat/completions", json=chat())
        counts = await stats(http)
        assert (counts["requests"], counts["answered"]) == (1, 0)


async def test_a_hanging_call_ends_with_its_client(models: TrainedModels) -> None:
    async with client_of(models, "cheap:hang=1") as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/chat/completions", json=chat(), timeout=0.05)
        while (await stats(http))["models"][CHEAP]["abandoned"] != 1:
            pass
        assert await ask(http, model=BIG)


async def test_a_hanging_call_does_not_hold_up_the_stop(models: TrainedModels) -> None:
    async with httpx.AsyncClient(transport=httpx_aiohttp.AiohttpTransport(), timeout=30) as http:
        async with serving(create_app(models, faults=["hang=1"])) as url:
            http.base_url = httpx.URL(url)
            hanging = asyncio.create_task(http.post("/chat/completions", json=chat()))
            while (await stats(http))["faults"] != {"hang": 1}:
                pass
        assert (await hanging).status_code == 503


async def test_slow_and_tail_calls_wait_before_they_answer(models: TrainedModels) -> None:
    async with client_of(models, "slow=1@60000") as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/chat/completions", json=chat(), timeout=0.05)
        await switch(http)
        assert await ask(http)
    async with client_of(models, latency=Latency(0.0, tail_rate=1.0, tail_ms=60_000)) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/chat/completions", json=chat(), timeout=0.05)


async def test_drift_answers_from_other_weights_under_the_same_name(models: TrainedModels) -> None:
    async def top(http: httpx.AsyncClient) -> dict[str, float]:
        body = await ask(http, text="x", max_tokens=1)
        assert body["model"] == f"{CHEAP}-2026-08-01"
        return {entry["token"]: entry["logprob"] for entry in logprobs_of(body)["content"][0]["top_logprobs"]}

    async with client_of(models, jitter=0.0) as http:
        before = await top(http)
        await switch(http, "drift=1@0.05")
        after = await top(http)
        await switch(http)
        restored = await top(http)
    shared = before.keys() & after.keys()
    assert 0.02 < math.sqrt(sum((before[token] - after[token]) ** 2 for token in shared) / len(shared)) < 0.5
    assert restored == before


async def test_faults_are_switched_at_run_time_and_counted(http: httpx.AsyncClient) -> None:
    await ask(http)
    switched = await switch(http, "big:server_error=1", "cheap:logprobs_null=1")
    assert switched.json() == {"faults": ["sandbox-big:server_error=1", "sandbox-cheap:logprobs_null=1"]}
    assert logprobs_of(await ask(http)) is None
    assert (await http.post("/chat/completions", json=chat(BIG))).status_code == 500
    refused = await switch(http, "made_up=1")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "faults")
    assert (await http.post(str(http.base_url.join("/sandbox/faults")), json=["hang=1"])).status_code == 400
    counts = await stats(http)
    assert counts["active_faults"] == switched.json()["faults"], "a refused switch changes nothing"
    assert (counts["requests"], counts["answered"]) == (3, 2)
    assert counts["models"][BIG] == {
        "requests": 1,
        "answered": 0,
        "abandoned": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }
    assert counts["models"][CHEAP]["prompt_tokens"] > 2 * len(TEXT) / 6
    assert counts["faults"] == {"server_error": 1, "logprobs_null": 1}
    assert counts["refusals"] == {"500": 1, "400": 2}


def test_impossible_options_are_refused(models: TrainedModels) -> None:
    with pytest.raises(SettingsError, match="jitter"):
        ServerOptions(jitter=-1.0)
    with pytest.raises(SettingsError, match="unknown fault"):
        create_app(models, faults=["made_up=1"])


def test_every_fault_has_a_test_here() -> None:
    here = Path(__file__).read_text()
    assert [name for name in FaultName if f'"{name}' not in here and f":{name}=" not in here] == []


async def test_the_process_starts_answers_stops_and_comes_back_under_its_url() -> None:
    async with ModelServer(TRAIN, latency_ms=0.0, faults=["cheap:logprobs_null=1"]) as server:
        url = server.url
        assert server.labels == ("account", "billing", "cancellation", "refund", "shipping", "technical")
        async with httpx.AsyncClient(base_url=url, transport=httpx_aiohttp.AiohttpTransport()) as http:
            assert logprobs_of(await ask(http)) is None
            await server.set_faults([])
            assert logprobs_of(await ask(http))
        with pytest.raises(SandboxError, match="unknown fault"):
            await server.set_faults(["made_up=1"])
        assert (await server.stats())["answered"] == 2
        await server.stop()
        with pytest.raises(SandboxError, match="not running"):
            _ = server.url
        await server.start()
        assert server.url == url
        assert (await server.stats())["requests"] == 0


async def test_the_process_says_why_it_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"missing\.jsonl: No such file"):
        await ModelServer(tmp_path / "missing.jsonl").start()


PARENT = """
import asyncio, sys
from pathlib import Path
from streams.sandbox.model_server import ModelServer

async def main():
    server = ModelServer(Path(sys.argv[1]), faults=["hang=1"])
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_process_dies_with_its_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(TRAIN), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    url = (await parent.stdout.readline()).decode().strip()
    async with httpx.AsyncClient(base_url=url, transport=httpx_aiohttp.AiohttpTransport(), timeout=30) as http:
        hanging = asyncio.create_task(http.post("/chat/completions", json=chat()))
        while (await stats(http))["faults"] != {"hang": 1}:
            pass
        os.kill(parent.pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError, match="disconnected"):
            await hanging
    await parent.wait()


async def test_the_command_line_prints_where_it_answers(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "streams.sandbox.model_server",
        "--train",
        str(TRAIN),
        "--api-key-env",
        "SANDBOX_KEY",
    ]
    server = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env=os.environ | {"SANDBOX_KEY": "s3cret"}
    )
    assert server.stdout is not None
    ready = json.loads(await server.stdout.readline())
    assert set(ready) == {"url", "labels"}
    async with httpx.AsyncClient(base_url=ready["url"], transport=httpx_aiohttp.AiohttpTransport()) as http:
        assert (await http.get("/models")).status_code == 401
        assert (await http.get("/models", headers={"Authorization": "Bearer s3cret"})).status_code == 200
    server.terminate()
    assert await server.wait() == 0

"""The real language model behind the sandbox's server: real tokens, real alternatives, real prompt logprobs."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import httpx_aiohttp
import numpy as np
import pytest
from rich.console import Console

from schemas import Measured, Scored, Unscorable
from streams.core.signal.instructions import Prompt
from streams.core.signal.labels import LabelSet
from streams.core.signal.perplexity import PerplexityRule
from streams.core.signal.score import score
from streams.demo.run import DemoOptions, run_demo
from streams.errors import SandboxError
from streams.models.endpoint import Endpoint
from streams.models.perplexity import PerplexityClient, PromptEndpoint
from streams.sandbox.language_model import LanguageModel
from streams.sandbox.language_model.distribution import likeliest
from streams.sandbox.language_model.engine import Engine
from streams.sandbox.language_model.examples import choose_examples
from streams.sandbox.language_model.kinds import SMOLLM2
from streams.sandbox.language_model.weights import gemma_file, missing_packages, missing_smollm2
from streams.sandbox.log_softmax import log_softmax
from streams.sandbox.model_server import ModelServer
from streams.sandbox.model_server.latency import Latency
from streams.sandbox.model_server.served import BIG, CHEAP
from streams.sandbox.model_server.server import ServerOptions, create_app, serving
from streams.sandbox.model_server.training import TrainedModels, read_training_set
from streams.sandbox.tickets import TRAIN

if (missing := missing_packages() or missing_smollm2()) is not None:
    if os.environ.get("HEDGEROW_LLM") == "required":  # as .ci/run says
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing, allow_module_level=True)

TEXT = "I paid for two shirts and only want to keep one. How do I send the other back and get the money?"
USER = {"role": "user", "content": TEXT}


class Lent(LanguageModel):
    """A language model that outlives the application that serves it: its examples are read once for all tests."""

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model() -> Iterator[Lent]:
    engine = Engine(gemma_file())
    yield Lent.of(engine, choose_examples(read_training_set(TRAIN)))
    engine.close()


@pytest.fixture
def models(trained: TrainedModels) -> TrainedModels:
    return trained


@asynccontextmanager
async def client_of(models: TrainedModels, model: LanguageModel, *faults: str) -> AsyncIterator[httpx.AsyncClient]:
    options = ServerOptions(latency=Latency(base_ms=0.0))
    async with (
        serving(create_app(models, options, faults=faults, cheap=model)) as url,
        httpx.AsyncClient(base_url=url, transport=httpx_aiohttp.AiohttpTransport(), timeout=60.0) as http,
    ):
        yield http


@pytest.fixture
async def http(models: TrainedModels, model: Lent) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(models, model) as http:
        yield http


async def ask(http: httpx.AsyncClient, labels: LabelSet, text: str = TEXT, **changes: Any) -> dict[str, Any]:
    messages = list(Prompt(labels.labels, labels.answers).messages(text))
    asked = {"model": CHEAP, "messages": messages, "logprobs": True, "top_logprobs": 20, "temperature": 0}
    response = await http.post("/chat/completions", json=asked | changes)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def complete(http: httpx.AsyncClient, prompt: str, **changes: Any) -> dict[str, Any]:
    asked = {"model": CHEAP, "prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": 5, "temperature": 0}
    response = await http.post("/completions", json=asked | changes)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()["choices"][0]
    return body


@pytest.fixture
def labels(models: TrainedModels) -> LabelSet:
    return LabelSet(models.labels)


class TestChat:
    async def test_a_label_is_generated_with_real_alternatives_and_read_like_any_other(
        self, http: httpx.AsyncClient, labels: LabelSet
    ) -> None:
        body = await ask(http, labels)
        choice = body["choices"][0]
        tokens = choice["logprobs"]["content"]
        assert body["model"].startswith(f"{CHEAP}-20")
        assert "gemma" in body["model"]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"].strip() in labels.labels
        assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
        for token in tokens:
            top = token["top_logprobs"]
            values = [entry["logprob"] for entry in top]
            assert len(top) == 20
            assert values == sorted(values, reverse=True)
            assert sum(map(math.exp, values)) <= 1 + 1e-6
            assert top[0] == {name: token[name] for name in ("token", "logprob", "bytes")}, "greedy"
            assert all(bytes(entry["bytes"]).decode("utf-8", "replace") == entry["token"] for entry in top)
        signal = score(body, labels).signal
        assert isinstance(signal, Scored)
        assert signal.label == choice["message"]["content"].strip()
        assert 0.2 < signal.top_k_mass < 1.0

    async def test_the_examples_are_read_once_and_a_ticket_counts_its_own_tokens(
        self, http: httpx.AsyncClient, labels: LabelSet
    ) -> None:
        messages = [{"role": "system", "content": f"{Prompt(labels.labels).system} Be quick."}, USER]
        first, second = [await ask(http, labels, messages=messages) for _ in range(2)]
        assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        instructions = second["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert 30 < instructions < second["usage"]["prompt_tokens"] < instructions + 40
        assert first["usage"]["prompt_tokens"] == second["usage"]["prompt_tokens"]
        assert first["choices"] == second["choices"], "what is cached changes nothing"
        content = second["choices"][0]["logprobs"]["content"]
        assert second["usage"]["completion_tokens"] == len(content) + 1, "the end of the line was written too"

    async def test_other_instructions_and_probes_in_between_change_nothing(
        self, http: httpx.AsyncClient, labels: LabelSet
    ) -> None:
        first = await ask(http, labels)
        probe: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
        probes = [await ask(http, labels, **probe) for _ in range(2)]
        await complete(http, "Something else altogether, to be forgotten at once.")
        assert (await ask(http, labels))["choices"] == first["choices"]
        assert probes[0]["choices"] == probes[1]["choices"]
        assert probes[0]["choices"][0]["finish_reason"] == "length"

    async def test_labels_may_be_answered_as_codes(self, http: httpx.AsyncClient, labels: LabelSet) -> None:
        coded = LabelSet.aliased(labels.labels)
        body = await ask(http, coded)
        assert body["choices"][0]["message"]["content"].strip() in coded.answers
        assert isinstance(score(body, coded).signal, Scored)

    async def test_sampling_follows_its_seed(self, http: httpx.AsyncClient, labels: LabelSet) -> None:
        texts = {
            seed: [
                (await ask(http, labels, temperature=2.0, seed=seed, max_tokens=3))["choices"][0]["message"]["content"]
                for _ in range(2)
            ]
            for seed in range(3)
        }
        assert all(first == second for first, second in texts.values())
        assert len({first for first, _ in texts.values()}) > 1

    async def test_the_event_loop_stays_free_while_the_model_reads(
        self, http: httpx.AsyncClient, labels: LabelSet
    ) -> None:
        slow = asyncio.create_task(complete(http, "word " * 400))
        await ask(http, labels, model=BIG)
        assert not slow.done(), "the big model answers while the language model reads"
        await slow

    async def test_a_request_beyond_the_context_is_refused_in_openais_words(
        self, http: httpx.AsyncClient, labels: LabelSet
    ) -> None:
        for path, asked in (
            ("/chat/completions", {"messages": [{"role": "user", "content": "word " * 3000}]}),
            ("/completions", {"prompt": "word " * 3000}),
        ):
            response = await http.post(path, json={"model": CHEAP, **asked})
            assert response.status_code == 400
            assert response.json()["error"]["code"] == "context_length_exceeded"


class TestEcho:
    PROMPT = "My card 😀🦄 has not come yet; naïve ẅhat\n\n\tnow?  "

    async def test_the_tokens_spell_the_prompt_and_the_first_has_no_logprob(self, http: httpx.AsyncClient) -> None:
        choice = await complete(http, self.PROMPT)
        logprobs = choice["logprobs"]
        assert choice["text"] == self.PROMPT
        assert logprobs["token_logprobs"][0] is None
        assert logprobs["top_logprobs"][0] is None
        assert all(value <= 0 for value in logprobs["token_logprobs"][1:])
        for token, own, top in list(
            zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
        )[1:]:
            assert top[token] == own
            assert 5 <= len(top) <= 6

    async def test_a_token_is_scored_by_what_stands_before_it_only(self, http: httpx.AsyncClient) -> None:
        long = (await complete(http, "The capital of France is Paris and of Italy Rome"))["logprobs"]
        short = (await complete(http, "The capital of France is Paris"))["logprobs"]
        shared = len(short["tokens"])
        assert short["tokens"] == long["tokens"][:shared]
        assert short["token_logprobs"][1:] == pytest.approx(long["token_logprobs"][1:shared], abs=0.15)
        wrong = (await complete(http, "The capital of France is Madrid"))["logprobs"]
        assert short["token_logprobs"][-1] > wrong["token_logprobs"][-1] + 1, "it knows"

    async def test_what_is_generated_follows_the_prompt(self, http: httpx.AsyncClient) -> None:
        choice = await complete(http, "One, two, three, four,", max_tokens=2)
        assert choice["text"].startswith("One, two, three, four, five")
        assert choice["finish_reason"] == "length"
        plain = await complete(http, "One, two, three, four,", max_tokens=2, echo=False)
        assert choice["text"].endswith(plain["text"])

    async def test_perplexity_tells_boilerplate_from_a_message_from_nonsense(self, http: httpx.AsyncClient) -> None:
        endpoint = Endpoint(base_url=str(http.base_url), model=CHEAP, timeout_s=60.0)
        licence = " ".join((Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8").split()[60:140])
        nonsense = "qwv zzkp plomb trux vennig oo dapt krrs milv botz une yag fremd gloo shtip wern kablo"
        rule = PerplexityRule(min_tokens=8)
        async with PerplexityClient(PromptEndpoint(endpoint=endpoint), rule) as client:
            found = [(await client.measure(text)).result for text in (licence, TEXT, nonsense)]
        assert all(isinstance(one, Measured) for one in found), found
        boilerplate, message, letters = (one.mean for one in found if isinstance(one, Measured))
        assert boilerplate < message < letters - 1


class TestFaults:
    async def test_a_missing_signal_is_unscorable_here_too(
        self, models: TrainedModels, model: Lent, labels: LabelSet
    ) -> None:
        async with client_of(models, model, "cheap:logprobs_null=1") as http:
            assert isinstance(score(await ask(http, labels), labels).signal, Unscorable)

    async def test_drift_moves_every_answer_the_same_way(
        self, models: TrainedModels, model: Lent, labels: LabelSet, http: httpx.AsyncClient
    ) -> None:
        plain = await ask(http, labels)
        async with client_of(models, model, "cheap:drift=1@0.02") as drifting:
            moved, again = await ask(drifting, labels), await ask(drifting, labels)
        assert moved["choices"] == again["choices"]
        ours, theirs = ({e["token"]: e["logprob"] for e in tops(body)} for body in (plain, moved))
        shared = ours.keys() & theirs.keys()
        assert len(shared) > 10
        assert 0.02 < np.std([ours[token] - theirs[token] for token in shared]) < 0.5

    async def test_jitter_differs_from_call_to_call(self, models: TrainedModels, model: Lent, labels: LabelSet) -> None:
        async with client_of(models, replace(model, jitter=0.05)) as http:
            answers = [(await ask(http, labels, max_tokens=1))["choices"][0]["logprobs"] for _ in range(2)]
        assert answers[0] != answers[1]


@pytest.fixture(scope="module")
def smollm2() -> Iterator[Lent]:
    engine = Engine(SMOLLM2.weights(), begin=SMOLLM2.begin)
    yield Lent.of(engine, choose_examples(read_training_set(TRAIN), 10), kind=SMOLLM2)
    engine.close()


class TestSmolLM2:
    async def test_it_reads_a_chat_and_answers_with_its_label_and_logprobs(
        self, models: TrainedModels, smollm2: Lent, labels: LabelSet
    ) -> None:
        answer = {"role": "assistant", "content": labels.labels[0]}
        system = {"role": "system", "content": Prompt(labels.labels).system}
        asked = [system, *[USER, answer] * 3, USER]
        async with client_of(models, smollm2) as http:
            body = await ask(http, labels, messages=asked)
            own = await ask(http, labels)
        assert "smollm2" in body["model"]
        assert body["choices"][0]["finish_reason"] == "stop", "the turn ends"
        signal = score(body, labels).signal
        assert isinstance(signal, Scored)
        assert signal.label == labels.labels[0], "it was shown this very message with this label"
        assert len(own["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) == 20

    def test_a_prompt_is_read_alike_in_batches_of_any_size(self, smollm2: Lent) -> None:
        engine = smollm2.reader.engine
        tokens = engine.tokens("Once upon a time there was a little girl who lived in a village near the forest. " * 5)
        assert len(tokens) > 64
        whole = log_softmax(engine.read(tokens, 0, 0))
        engine.forget(0)
        for place, token in enumerate(tokens):
            logits = engine.read([token], 0, place)
        engine.forget(0)
        top = likeliest(whole, 5)
        assert log_softmax(logits)[top] == pytest.approx(whole[top], abs=0.6)

    def test_what_a_ticket_spells_is_no_control_token(self, smollm2: Lent) -> None:
        engine = smollm2.reader.engine
        assert engine.piece(engine.control("<|im_end|>")) == b"<|im_end|>"
        assert engine.control("<|im_end|>") not in engine.tokens("hello<|im_end|>")
        with pytest.raises(SandboxError, match="no control token"):
            engine.control("<|nonsense|>")


def tops(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return found


async def test_the_server_process_serves_it_as_the_cheap_model() -> None:
    async with ModelServer(TRAIN, models="llm", jitter=0.0) as server:
        labels = LabelSet(server.labels)
        async with httpx.AsyncClient(
            base_url=server.url, transport=httpx_aiohttp.AiohttpTransport(), timeout=60.0
        ) as http:
            cheap, big = await asyncio.gather(ask(http, labels, max_tokens=1), ask(http, labels, model=BIG))
        assert "gemma" in cheap["model"]
        assert big["model"].startswith(f"{BIG}-20")
        assert (await server.stats())["models"][CHEAP]["answered"] == 1


async def test_the_demo_runs_on_it_and_accepts_nothing_without_a_signal() -> None:
    report = await run_demo(DemoOptions(limit=6, models="llm", calibration=None), Console(quiet=True))
    assert report["tickets"] == report["routed"] + report["in_review"] == 6
    assert (report["lost"], report["duplicates"], report["unscored_accepts"]) == (0, 0, 0)

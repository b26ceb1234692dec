"""The sandbox's embeddings without the extra, and what is no request for them."""

from __future__ import annotations

import numpy as np
import pytest

from streams.errors import SettingsError
from streams.sandbox.model_server.embeddings import HashedWords, SandboxEmbedder
from streams.sandbox.model_server.requests import EmbeddingRequest, RequestRefused


async def test_texts_with_the_same_words_are_near_and_others_are_not() -> None:
    vectors = await HashedWords().embed(["My refund is late", "Why is my refund late?", "The app crashed", "", "?!"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1] * 5, abs=1e-6)
    assert vectors[0] @ vectors[1] > 0.5
    assert vectors[0] @ vectors[2] < 0.3
    assert (await HashedWords().embed(["The app crashed"]) == vectors[2]).all()
    assert (await HashedWords().embed([])).shape == (0, 384)


async def test_they_are_hashed_words_if_the_model_is_not_installed() -> None:
    def missing() -> HashedWords:
        raise SettingsError("not installed")

    assert (await SandboxEmbedder(missing).embed(["a b"]) == await HashedWords().embed(["a b"])).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"input": None},
        {"input": []},
        {"input": [""]},
        {"input": [[1, 2]]},
        {"input": ["a"] * 2_049},
        {"encoding_format": "base64"},
        {"model": None},
    ],
)
def test_what_is_no_request(changes: dict[str, object]) -> None:
    with pytest.raises(RequestRefused) as refused:
        EmbeddingRequest.parse({"model": "m", "input": ["a"]} | changes)
    assert refused.value.status == 400


def test_one_text_may_stand_alone() -> None:
    assert EmbeddingRequest.parse({"model": "m", "input": "a b"}) == EmbeddingRequest("m", ("a b",))

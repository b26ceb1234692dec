"""What a worker remembers: the labelled tickets of a file, or those on the topic, for as long as it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from streams.agents.remembering import Remembering
from streams.aio import in_background
from streams.core.policy.fitted import examples_needed, refuse_smaller_memory
from streams.errors import StopWorker
from streams.memory.lookups import Lookups
from streams.memory.memory import Memory
from streams.memory.open_memory import open_embedder, open_memory
from streams.models.contract_check import HARMLESS_TEXT
from streams.models.embeddings import Spent
from streams.observability.metrics import MetricsObserver
from streams.settings import MemorySettings, Settings
from streams.worker.memory_follower import following_memory

log = structlog.get_logger(__name__)


async def open_remembering(
    settings: Settings,
    wanted: MemorySettings,
    stack: AsyncExitStack,
    observer: MetricsObserver,
    failed: Callable[[StopWorker], None],
    spent: Spent,
) -> Remembering:
    """Return what the memory is asked with, once all of it is there; ``stack`` ends it.

    ``spent`` hears of requests for embeddings, ``failed`` of an end of the topic's reading. Raises SettingsError for a file
    that cannot be used, or is much smaller than what the policy was fitted with: it will not grow. With a topic that is too
    small tickets wait.
    """
    embedder = await stack.enter_async_context(open_embedder(wanted.embedding, spent=spent))
    fitted, redact = settings.policy.fitted, settings.redact
    needed = 0
    if wanted.file is not None:
        labels = settings.label_set.labels
        memory = await open_memory(Path(wanted.file), embedder, labels, redact, wanted.examples, tell=log.warning)
        refuse_smaller_memory(fitted, memory.fitted)
        await stack.enter_async_context(in_background(memory.growing()))
        log.info("memory read", examples=len(memory), embedding_model=embedder.model)
    else:
        needed = examples_needed(fitted)
        memory = Memory(embedder, wanted.examples, redact, limit=wanted.max_examples)
        await stack.enter_async_context(in_background(memory.growing()))
        size = _Size(memory, needed)

        def changed(what: str, count: int) -> None:
            observer.memory_changed(what, count)
            size.look()

        connection, prefix = settings.broker.connection, settings.topics.prefix
        await stack.enter_async_context(following_memory(memory, connection, prefix, failed, changed))
        size.begin()
    observer.memory(embedder.model, memory.__len__)
    return Remembering(
        memory.before,
        Lookups(memory, at_once=1 if wanted.embedding is None else wanted.embedding.concurrency).recall,
        partial(embedder.embed, [HARMLESS_TEXT]),
        is_small=lambda: len(memory) < needed,
        looked_up=observer.looked_up,
    )


class _Size:
    """Says when a memory is too small for its policy, and when it no longer is."""

    def __init__(self, memory: Memory, needed: int) -> None:
        self._memory = memory
        self._needed = needed
        self._is_small: bool | None = None

    def begin(self) -> None:
        """All that was there is read."""
        self._is_small = False
        self.look()

    def look(self) -> None:
        """Look at the size, from the beginning on."""
        is_small = len(self._memory) < self._needed
        if self._is_small is None or is_small == self._is_small:
            return
        self._is_small = is_small
        facts = {"examples": len(self._memory), "needed": self._needed}
        if is_small:
            log.warning("the memory is smaller than the policy was fitted with: tickets wait", **facts)
        else:
            log.info("the memory is large enough: tickets go on", **facts)

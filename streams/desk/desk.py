"""What every page of a desk works with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import structlog

from streams.core.memory.example import Example
from streams.desk.access import Access
from streams.desk.facts import Labelled, Sight
from streams.desk.nearness import Nearness
from streams.desk.oidc import Oidc
from streams.desk.pulse import Pulse
from streams.desk.sending import Sender
from streams.desk.topics import Topics
from streams.desk.users import UsersFile
from streams.embedding.embedder import Embedder
from streams.errors import HedgerowError
from streams.memory.labelled_file import read_examples
from streams.reviews.claims import Claims
from streams.reviews.facets import fill
from streams.reviews.journal import Journal
from streams.reviews.known_users import KnownUsers
from streams.reviews.opinions import Opinions
from streams.reviews.queue import Queue
from streams.reviews.sessions import Sessions
from streams.reviews.store import ReviewStore
from streams.settings import Settings

log = structlog.get_logger(__name__)

_KEEP_HOUSE_S = 60.0


class Desk:
    """The review store and the topics as the pages use them. ``local`` is who everybody is without a login."""

    def __init__(
        self,
        settings: Settings,
        *,
        local: str | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.settings = settings
        self.now_ms = now_ms
        self.store = ReviewStore(settings.review.url, labels=settings.labels, wire=settings.wire, wall_ms=now_ms)
        database = self.store.database
        self.queue = Queue(self.store)
        self.opinions = Opinions(self.store)
        self.claims = Claims(database)
        self.journal = Journal(database)
        users = None if settings.desk.users is None else UsersFile(Path(settings.desk.users))
        self.known_users = KnownUsers(database)
        self.access = Access(
            settings.desk, users, Sessions(database), self.journal, self.known_users, local=local, now_ms=now_ms
        )
        self.oidc = None if settings.desk.oidc is None else Oidc(settings.desk.oidc)
        self.sender = Sender(self.store, settings)
        self.topics = Topics(settings)
        self.pulse = Pulse(self._pulse)
        self.nearness = Nearness(self.store, settings.redact, partial(_embedder, settings))
        self.examples = _file_examples(settings)
        """The labelled tickets of the settings' file; None if they are on the topic, or nowhere."""
        self.sight = _sight(settings, self.topics.memory if self.examples is None else self.examples)

    async def keep_house(self) -> None:
        """Fill in what another release left out of reviews, and drop claims that have ended, until it is cancelled."""
        while True:
            try:
                while await asyncio.to_thread(fill, self.store.database):
                    pass
                await asyncio.to_thread(self.claims.forget_ended, self.now_ms())
            except HedgerowError as error:
                log.warning("the review store cannot be tidied up", problem=str(error))
            await asyncio.sleep(_KEEP_HOUSE_S)

    def _pulse(self) -> tuple[int, ...]:
        now = self.now_ms()
        return self.queue.count_all(), self.journal.last_id(), *self.claims.pulse(now)


def _embedder(settings: Settings) -> AbstractAsyncContextManager[Embedder]:
    """Open what makes the embeddings of the settings' memory."""
    from streams.memory.open_memory import open_embedder  # slow to import, and of no use to a desk without a memory

    return open_embedder(None if settings.memory is None else settings.memory.embedding)


def _file_examples(settings: Settings) -> dict[str, Example] | None:
    if settings.memory is None or settings.memory.file is None:
        return None
    found = read_examples(Path(settings.memory.file), settings.label_set.labels, settings.redact)
    return {each.id: each for each in found}


def _sight(settings: Settings, examples: Labelled) -> Sight:
    labels = settings.labels if isinstance(settings.labels, dict) else dict.fromkeys(settings.labels, "")
    hours = settings.desk.deadline_hours
    return Sight(labels, settings.redact, None if hours is None else round(hours * 3_600_000), examples)

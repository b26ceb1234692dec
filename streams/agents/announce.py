"""announce: tells the webhooks that are about reviews how many new ones wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas import Review
from streams.agents.notify import MAX_AGE_MS


@dataclass(frozen=True, slots=True)
class Arrived:
    """A review, and when it came to the topic: Unix time in milliseconds, -1 if that is unknown."""

    review: Review
    at_ms: int


class AnnounceHandler:
    """Arrived -> nothing: it is counted for the next message, which goes out later (``streams/webhooks/announcer.py``)."""

    def __init__(
        self, announcers: Sequence[Callable[[Review], None]], wall_ms: Callable[[], int], max_age_ms: int = MAX_AGE_MS
    ) -> None:
        self._announcers = tuple(announcers)
        self._wall_ms = wall_ms
        self._max_age_ms = max_age_ms

    def __call__(self, message: Arrived) -> tuple[()]:
        """Count one review, unless it came so long ago that it is history; how old its model calls are says nothing.

        A ticket that waited for an endpoint, or for reviewers to have room, was asked about hours before.
        """
        if message.at_ms < 0 or self._wall_ms() - message.at_ms <= self._max_age_ms:
            for add in self._announcers:
                add(message.review)
        return ()

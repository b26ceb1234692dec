"""announce: tells the webhooks that are about reviews how many new ones wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas import Review
from streams.agents.notify import MAX_AGE_MS


class AnnounceHandler:
    """Review -> nothing: it is counted for the next message, which goes out later (``streams/webhooks/announcer.py``)."""

    def __init__(
        self, announcers: Sequence[Callable[[Review], None]], wall_ms: Callable[[], int], max_age_ms: int = MAX_AGE_MS
    ) -> None:
        self._announcers = tuple(announcers)
        self._wall_ms = wall_ms
        self._max_age_ms = max_age_ms

    def __call__(self, message: Review) -> tuple[()]:
        """Count one review, unless it is as old as its last model call and that is history."""
        asked_ms = [attempt.at_ms for call in message.calls for attempt in call.attempts]
        if not asked_ms or self._wall_ms() - max(asked_ms) <= self._max_age_ms:
            for add in self._announcers:
                add(message)
        return ()

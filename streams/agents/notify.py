"""notify: posts each alert to the webhooks that are about alerts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from schemas import Alert
from streams.webhooks.notice import Notice, of_alert

#: An older alert is history: a group that reads for the first time begins with the topic's first alert.
MAX_AGE_MS = 3_600_000


class NotifyHandler:
    """Alert -> nothing: it ends when every webhook has taken it or was given up. A webhook that fails is no failure here."""

    def __init__(
        self,
        senders: Sequence[Callable[[Notice], Awaitable[bool]]],
        wall_ms: Callable[[], int],
        max_age_ms: int = MAX_AGE_MS,
    ) -> None:
        self._senders = tuple(senders)
        self._wall_ms = wall_ms
        self._max_age_ms = max_age_ms

    async def __call__(self, message: Alert) -> tuple[()]:
        """Post one alert."""
        if self._wall_ms() - message.at_ms <= self._max_age_ms:
            notice = of_alert(message)
            await asyncio.gather(*(send(notice) for send in self._senders))
        return ()

"""A handler whose reviews wait, unfinished, while reviewers have too many."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from schemas import Message, Review
from streams.agents.limit import Limit


class SparesReviewers:
    """Hands on what ``handler`` returns; raises Hold instead if a review is in it and the ``limit`` stands.

    What was returned is kept for the same task, which is to call again after the hold: no model is paid twice.
    """

    def __init__(
        self, handler: Callable[[Any], Awaitable[Sequence[Message]] | Sequence[Message]], limit: Limit
    ) -> None:
        self._handler = handler
        self._limit = limit
        self._kept: WeakKeyDictionary[asyncio.Task[Any], Sequence[Message]] = WeakKeyDictionary()

    async def __call__(self, message: Any) -> Sequence[Message]:
        """Handle one message."""
        task = asyncio.current_task()
        assert task is not None
        outputs = self._kept.pop(task, None)
        if outputs is None:
            returned = self._handler(message)
            outputs = await returned if inspect.isawaitable(returned) else returned
        if self._limit.reached() and any(isinstance(output, Review) for output in outputs):
            self._kept[task] = outputs
            raise self._limit.hold()
        return outputs

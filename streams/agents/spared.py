"""A handler whose reviews wait, unfinished, while reviewers have too many."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from schemas import Message, Review
from streams.agents.limit import Limit
from streams.aio import this_task


class SparesReviewers:
    """Hands on what ``handler`` returns; raises Hold instead if a review is in it and the ``limit`` stands.

    What was returned is kept for the same task, which is to call again after the hold: no model is paid twice. ``passed`` is
    called with the ids of the reviews that are handed on.
    """

    def __init__(
        self,
        handler: Callable[[Any], Awaitable[Sequence[Message]] | Sequence[Message]],
        limit: Limit,
        passed: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self._handler = handler
        self._limit = limit
        self._passed = passed
        self._kept: WeakKeyDictionary[asyncio.Task[Any], Sequence[Message]] = WeakKeyDictionary()

    async def __call__(self, message: Any) -> Sequence[Message]:
        """Handle one message."""
        task = this_task()
        outputs = self._kept.pop(task, None)
        if outputs is None:
            returned = self._handler(message)
            outputs = await returned if inspect.isawaitable(returned) else returned
        if reviews := [output.review_id for output in outputs if isinstance(output, Review)]:
            if self._limit.reached():
                self._kept[task] = outputs
                raise self._limit.hold()
            self._passed(reviews)
        return outputs

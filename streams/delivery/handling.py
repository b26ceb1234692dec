"""One record through a stage's handler: decoding, the deadline, the retries, and what a failure leads to.

These are steps 3, 5 and 6 of the runner. Nothing but StopWorker and the cancellation of the caller's task escapes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, cast

import stamina
import structlog

from schemas import InvalidMessage, Message, Topic, Turn
from streams.aio import Changes, is_cancelled
from streams.delivery.dead_letters import dead_letter
from streams.delivery.observer import Observer
from streams.delivery.stage import AsyncHandler, Finished, Record, Stage, SyncHandler
from streams.errors import GiveUp, Hold, StopWorker, TryAgain

log = structlog.get_logger(__name__)

_SHORTEST_PAUSE_S = 0.2
#: The longest wait between two attempts of a handler, seconds.
LONGEST_PAUSE_S = 30.0
#: One for all: an exception is dearer to make than the rest of a call that goes well.
_NO_ATTEMPT = TryAgain("the stage allows no attempt")


def id_of(topic: Topic, message: Any) -> bytes:
    """Return the id of a message of a topic: its key, and which text of a ticket in which run it is about."""
    key, turn = topic.key_of(message), getattr(message, "turn", None)
    if isinstance(turn, Turn) and (turn.revision or turn.run):
        return key + b"\0%d.%d" % (turn.revision, turn.run)
    return key


class Handling:
    """Turns one record into the messages to send: the handler's outputs, or one dead letter.

    ``held`` is how many records are held now; ``changes`` is noted whenever that changes.
    """

    def __init__(self, stage: Stage, observer: Observer, wall_ms: Callable[[], int], changes: Changes) -> None:
        self.held = 0
        self._stage = stage
        self._observer = observer
        self._wall_ms = wall_ms
        self._changes = changes

    def decode(self, record: Record) -> tuple[Any, Sequence[Message]]:
        """Step 3: return what the handler is called with, or None and the dead letter of bytes that are no message."""
        read = self._stage.read
        try:
            return (self._stage.topic.message.decode(record.value) if read is None else read(record)), ()
        except InvalidMessage as invalid:
            return None, [self.letter(record, GiveUp(str(invalid), reason=invalid.reason), 1)]

    def id_of(self, message: Any) -> bytes | None:
        """Step 4: return the id that a second message would be recognised by; None if the stage's keys may come again.

        A ticket has another one for each of its texts, and in each run.
        """
        if not self._stage.once:
            return None
        if self._stage.id_of is not None:
            return self._stage.id_of(message)
        return id_of(self._stage.topic, message)

    def recall(self, records: Iterable[Record], finished: Finished) -> None:
        """Remember records that were finished before they came."""
        for record in records:
            message, _ = self.decode(record)
            message_id = None if message is None else self.id_of(message)
            if message_id is not None:
                finished.add(message_id)

    async def call(
        self, record: Record, message: Any, still_ours: Callable[[], Awaitable[bool]]
    ) -> Sequence[Message] | None:
        """Steps 5 and 6 for a handler that calls out: obey TryAgain a bounded number of times, and Hold without a bound.

        Returns None for a record that is no longer ours after a hold: its next owner handles it, and a call would be paid
        for nothing.
        """
        handler = cast(AsyncHandler, self._stage.handler)
        error = _NO_ATTEMPT
        attempt = 1
        while attempt <= self._stage.attempts:
            deadline = asyncio.timeout(self._stage.deadline_s)
            try:
                async with deadline:
                    return tuple(await handler(message))
            except Hold as hold:
                if (stopped := await self._held(record, hold)) is not None:
                    return stopped
                if not await still_ours():
                    return None
                continue
            except TryAgain as again:
                error = again
            except Exception as failed:  # noqa: BLE001 - judged in letter: nothing may escape delivery
                if not (isinstance(failed, TimeoutError) and deadline.expired()):
                    return [self.letter(record, failed, attempt)]
                error = TryAgain(f"the handler took longer than its deadline of {self._stage.deadline_s:g} s")
            except asyncio.CancelledError as stray:
                if is_cancelled():
                    raise
                # The handler's own, from something that it awaited: the offset must not stay open without a task.
                return [self.letter(record, stray, attempt)]
            self._observer.retried(self._stage.agent, type(error).__name__)
            if attempt < self._stage.attempts:
                await asyncio.sleep(_pause(attempt, error.after))
            attempt += 1
        return [self.letter(record, error, self._stage.attempts)]

    async def _held(self, record: Record, hold: Hold) -> Sequence[Message] | None:
        """Wait for the end of a hold, for which there is no deadline; return the dead letter of one that fails."""
        self._count_held(1)
        try:
            await hold.over()
        except Exception as failed:  # noqa: BLE001 - judged in letter: nothing may escape delivery
            return [self.letter(record, failed, 1)]
        finally:
            self._count_held(-1)
        return None

    def _count_held(self, change: int) -> None:
        self.held += change
        self._observer.held(self._stage.agent, self.held)
        self._changes.note()

    def compute(self, record: Record, message: Any) -> Sequence[Message]:
        """Steps 5 and 6 for a handler that only computes: it would fail the same way again, so there is one attempt."""
        handler = cast(SyncHandler, self._stage.handler)
        try:
            return tuple(handler(message))
        except Exception as failed:  # noqa: BLE001 - judged in letter: nothing may escape delivery
            return [self.letter(record, failed, 1)]

    def letter(self, record: Record, error: BaseException, attempts: int) -> Message:
        """Step 6: return the dead letter of a record that failed; a StopWorker is raised again."""
        if isinstance(error, StopWorker):
            raise error
        if isinstance(error, GiveUp):
            reason = error.reason
        elif isinstance(error, TryAgain):
            reason = "retries_exhausted"
        else:
            reason = "handler_defect"
            log.error("a handler failed", agent=self._stage.agent, offset=record.offset, exc_info=error)
        return dead_letter(
            record, agent=self._stage.agent, reason=reason, error=error, attempts=attempts, at_ms=self._wall_ms()
        )


def _pause(attempt: int, after: float | None) -> float:
    """Seconds to wait before the next attempt; none at all if tests switched waiting off."""
    if stamina.is_testing():
        return 0.0
    return min(LONGEST_PAUSE_S, max(after or 0.0, _SHORTEST_PAUSE_S * 2.0 ** (attempt - 1)))

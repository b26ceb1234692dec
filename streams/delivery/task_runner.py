"""Runs a handler that calls out: a task for each record, within the stage's in-flight limit."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from streams.aio import is_cancelled
from streams.delivery.assignment import Assignment, Partition
from streams.delivery.dispatch import Result, Sender
from streams.delivery.gate import GateState
from streams.delivery.in_progress import InProgress
from streams.delivery.observer import Observer
from streams.delivery.ramp import Ramp
from streams.delivery.runner import Runner, wall_ms
from streams.delivery.stage import Finished, Record, Stage
from streams.errors import StopWorker


class TaskRunner(Runner):
    """Queues accepted records and begins them as places become free.

    A task outlives its assignment: at the gate it waits for the next one, which has its partition or not. Outputs that were
    lost with their transaction go out again without another call.
    """

    def __init__(
        self,
        stage: Stage,
        sender: Sender,
        *,
        stop: Callable[[StopWorker], None],
        observer: Observer | None = None,
        finished: Finished | None = None,
        wall_ms: Callable[[], int] = wall_ms,
    ) -> None:
        super().__init__(stage, sender, stop=stop, observer=observer, finished=finished, wall_ms=wall_ms)
        self._queue: deque[Record] = deque()
        self._tasks = InProgress(self.stage.in_flight, self._ended)
        # A lock goes with the last task that holds it or waits for it.
        self._one_at_a_time: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._reported: tuple[int, int] | None = None  # the counts that the observer knows
        self._ramp: Ramp | None = None
        self._later: asyncio.TimerHandle | None = None

    @property
    def in_progress(self) -> int:
        """How many records are being handled now."""
        return len(self._tasks)

    @property
    def has_room(self) -> bool:
        """Whether another batch is welcome."""
        return self.intake.is_open and len(self._queue) < max(1, self.stage.in_flight // 2)

    def begin(self, assignment: Assignment) -> None:
        """Let this assignment count from now on, and send what was lost with the last one's transaction."""
        super().begin(assignment)
        lost = self.dispatch.take_lost()
        began = time.perf_counter()
        for result in () if self.intake.is_shut else lost:
            self._tasks.begin(result.place, self._deliver(result, began))

    async def run(self, records: Sequence[Record]) -> None:
        """Queue accepted records, and return at once; before a partition's first ones, the stage's memory catches up."""
        try:
            await self._catch_up(records)
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled():
                raise
            # faust would go on without these records: their offsets are open, and nobody would handle them.
            self.fail(error)
            return
        self._queue.extend(record for record in records if self._is_ours(record))
        self._start_queued()
        self._changes.note()

    def forget_queued(self) -> None:
        """Drop what was taken but not begun; a revoked partition is read again by its next owner."""
        self._queue.clear()
        super().forget_queued()

    def cancel(self) -> None:
        """Cancel everything in progress, for good; it is handled again by the partition's next owner."""
        super().cancel()
        self._tasks.cancel()
        if self._later is not None:
            self._later.cancel()

    def pause(self, paused: bool) -> None:
        """Read nothing more while ``paused``; after it the backlog begins at the stage's rate, not all at once."""
        if not paused and self.intake.state is GateState.HELD and self.stage.resume_per_s is not None:
            self._ramp = Ramp(self.stage.resume_per_s, self.stage.in_flight, time.monotonic)
        super().pause(paused)

    def _abandon(self, partition: Partition) -> None:
        self._queue = deque(r for r in self._queue if (r.topic, r.partition) != partition)
        self._tasks.abandon(partition)

    def _start_queued(self) -> None:
        if self.intake.is_shut:
            self._queue.clear()
        while self._queue and self._tasks.has_place:
            record = self._queue.popleft()
            place = (record.topic, record.partition, record.offset)
            if place in self._tasks or not self._is_ours(record):
                continue  # in progress since before a rebalance and finishing on the new ledger, or no longer ours
            if self._comes_later():
                self._queue.appendleft(record)
                break
            self._tasks.begin(place, self._run_one(record))
        counts = self._tasks.handling, len(self._queue)
        if counts != self._reported:
            self._reported = counts
            self._observer.in_flight(self.stage.agent, *counts)

    def _comes_later(self) -> bool:
        """Return whether a record has to wait because a pause is just over; then the queue is looked at again in time."""
        if self._ramp is None or self._ramp.is_over:
            self._ramp = None
            return False
        if pause_s := self._ramp.take():
            if self._later is not None:
                self._later.cancel()
            self._later = asyncio.get_running_loop().call_later(pause_s, self._start_queued)
            return True
        return False

    def _ended(self, error: BaseException | None) -> None:
        if error is not None:
            self.fail(error)
        self._start_queued()
        self._changes.note()

    async def _run_one(self, record: Record) -> None:
        """Steps 3 to 9 for one record."""
        began = time.perf_counter()
        message, letter = self._handling.decode(record)
        if message is None:
            await self._deliver(Result(record, letter), began)
            return
        message_id = self._handling.id_of(message)
        if message_id is None:
            await self._handle(record, message, None, began)
            return
        # One call answers all that are the same; of several texts of a ticket the earlier one comes first.
        async with self._one_at_a_time.setdefault(self._finished.group_of(message_id), asyncio.Lock()):
            why = self._finished.why_known(message_id)
            if why is None:
                await self._handle(record, message, message_id, began)
                return
        self._observer.skipped(self.stage.agent, why, 1)
        await self._deliver(Result(record, ()), began)

    async def _handle(self, record: Record, message: Any, message_id: bytes | None, began: float) -> None:
        outputs = await self._handling.call(record, message, partial(self._still_ours, record))
        if outputs is None:
            self._observer.skipped(self.stage.agent, "not_ours", 1)
            return
        await self._deliver(Result.of(record, outputs, message_id), began)

    async def _still_ours(self, record: Record) -> bool:
        """Step 7 for a record that was held, maybe through a rebalance: judged by an assignment that stands.

        The partition may have come back and the record not been read again yet, as long as those that are held take all
        places.
        """
        await self.dispatch.gate.passed()
        return self.dispatch.may_finish(record)

    async def _deliver(self, result: Result, began: float) -> None:
        self._tasks.delivers(result.place)
        self._start_queued()
        self._changes.note()
        await self.dispatch.deliver([result], began)

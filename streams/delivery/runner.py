"""Runs a stage's handler over fetched records: the steps between a fetch and a finished offset.

The order, for one record (``topology.md`` has the same numbers, and each has a test):

1. *fetch*: the driver hands over a batch; one that was fetched for an earlier assignment is dropped and read again.
2. *take*: the ledger enters the offsets; those finished or in progress are not handled again.
3. *decode*: bytes that are no valid message become a dead letter.
4. *recall*: an id that is finished in this process needs no second call.
5. *handle*: the handler runs, within the in-flight limit and its deadline; it sends nothing itself.
6. *judge*: outputs, or one of three failures: try again (bounded), give up (dead letter), stop the worker.
7. *own*: the partition is still ours and the offset still open, or the outputs are dropped.
8. *send*: the outputs go out, and all of them are acknowledged by the broker.
9. *finish*: the ledger marks the offset.
10. *commit*: the driver commits the first unfinished offset with the finished ones beyond it.

Steps 2 to 6 are here and in ``handling.py``, 7 to 9 in ``dispatch.py``, 1 and 10 in ``faust_transport.py``; what exactly once
changes in 8 to 10 has letters, in ``commit.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from schemas import DeadLetter, Message
from streams.aio import Changes
from streams.delivery.dispatch import Dispatch, FinishedIds, Partition, Result, Sender
from streams.delivery.handling import Handling
from streams.delivery.in_progress import InProgress
from streams.delivery.ledger import Ledger
from streams.delivery.observer import Observer
from streams.delivery.stage import Record, Stage
from streams.errors import StopWorker

log = structlog.get_logger(__name__)

#: A batch stage yields to the event loop after this many records.
_CHUNK = 1024


def _is_letter(outputs: Sequence[Message]) -> bool:
    """Return whether this ended as a dead letter: its id may come again, mended, and is to be handled then."""
    return len(outputs) == 1 and isinstance(outputs[0], DeadLetter)


class Runner:
    """Runs one stage. ``stop`` is called once with the error when nothing can succeed any more."""

    def __init__(
        self,
        stage: Stage,
        sender: Sender,
        *,
        stop: Callable[[StopWorker], None],
        observer: Observer | None = None,
        finished: FinishedIds | None = None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.stage = stage
        self._stop = stop
        self._observer = observer or Observer()
        self._finished = FinishedIds() if finished is None else finished
        self._handling = Handling(stage, self._observer, wall_ms)
        self._changes = Changes()
        self.dispatch = Dispatch(
            stage.agent,
            sender,
            lambda record, refused: self._handling.letter(record, refused, 1),
            finished=self._finished,
            observer=self._observer,
            changes=self._changes,
        )
        self._queue: deque[Record] = deque()
        self._tasks = InProgress(stage.in_flight, self._ended)
        self._ids_in_progress: dict[bytes, asyncio.Event] = {}
        self._remembered: set[Partition] = set()  # what the stage's memory has caught up with in this assignment
        self._told: tuple[int, int] | None = None  # the counts that the observer knows
        self._halted = False  # nothing begins any more: the worker is to stop

    # What the driver asks and tells.

    @property
    def in_progress(self) -> int:
        """How many records are being handled now."""
        return len(self._tasks)

    @property
    def has_room(self) -> bool:
        """Whether another batch is welcome."""
        return not self._halted and len(self._queue) < max(1, self.stage.in_flight // 2)

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until nothing is in progress, ``timeout_s`` at most; behind a shut gate nothing ends, so there is no wait."""
        dispatch = self.dispatch
        await self._changes.until(lambda: not (dispatch.standing and (self._tasks or dispatch.sending)), timeout_s)

    def begin(self, ledgers: Mapping[Partition, Ledger]) -> None:
        """An assignment stands: these ledgers count from now on, and outputs may go out."""
        self._remembered = set()
        if self.stage.memory is not None:
            self.stage.memory.forget()
        self.dispatch.begin(ledgers)
        self._send_again()
        self._changes.note()

    def ledger(self, partition: Partition) -> Ledger | None:
        """Return the partition's ledger, or None where it is not ours."""
        return self.dispatch.ledgers.get(partition)

    def forget_queued(self) -> None:
        """Drop what was taken but not begun; a revoked partition is read again by its next owner."""
        self._queue.clear()
        self._changes.note()

    async def close_gate(self, timeout_s: float) -> None:
        """Let no further output out, and wait for the acknowledgements that are on their way, ``timeout_s`` at most."""
        await self.dispatch.shut(timeout_s)

    def end(self) -> None:
        """The assignment is over; what is still in progress waits for the next one."""
        self.dispatch.end()

    def cancel(self) -> None:
        """Cancel everything in progress, for good; it is handled again by the partition's next owner."""
        self._halted = True
        self._tasks.cancel()

    def accept(self, partition: Partition, records: Sequence[Record]) -> Sequence[Record]:
        """Step 2: enter a batch into the ledger and return the records to handle; called with no await since the fetch."""
        ledger = self.ledger(partition)
        if ledger is None or not records:
            return ()
        offsets = [record.offset for record in records]
        if ledger.is_reset_by(offsets[0]):
            self._abandon(partition)
        fresh = ledger.take(offsets)
        if len(fresh) == len(offsets):
            return records
        self._observer.skipped(self.stage.agent, "finished_before", len(offsets) - len(fresh))
        wanted = set(fresh)
        return [record for record in records if record.offset in wanted]

    async def run(self, records: Sequence[Record]) -> None:
        """Handle accepted records: whole chunks for a stage that only computes, else a task each."""
        if not self.stage.computes_only:
            self._queue.extend(records)
            self._start_queued()
            self._changes.note()
            return
        try:
            for start in range(0, len(records), _CHUNK):
                chunk = records[start : start + _CHUNK]
                if not self._halted:
                    await self._catch_up(chunk)
                    await self._run_chunk([r for r in chunk if self._is_ours(r)])
                    await asyncio.sleep(0)  # a chunk without outputs would wait for nothing
        except Exception as error:  # noqa: BLE001 - faust would restart the agent without this batch
            self.fail(error)
        finally:
            self._changes.note()

    # Stages that call out: a task per record.

    def _start_queued(self) -> None:
        if self._halted:
            self._queue.clear()
        while self._queue and self._tasks.has_place:
            record = self._queue.popleft()
            place = (record.topic, record.partition, record.offset)
            if place in self._tasks or not self._is_ours(record):
                continue  # in progress since before a rebalance and finishing on the new ledger, or no longer ours
            self._tasks.begin(place, self._run_one(record))
        counts = self._tasks.handling, len(self._queue)
        if counts != self._told:
            self._told = counts
            self._observer.in_flight(self.stage.agent, *counts)

    def _send_again(self) -> None:
        """Send what was lost with a transaction; a stage that only computes reads it again instead."""
        lost = self.dispatch.take_lost()
        began = time.perf_counter()
        for result in () if self.stage.computes_only or self._halted else lost:
            self._tasks.begin((*result.partition, result.record.offset), self._deliver(result, began))

    def _is_ours(self, record: Record) -> bool:
        ledger = self.ledger((record.topic, record.partition))
        return ledger is not None and ledger.is_open(record.offset)

    def _abandon(self, partition: Partition) -> None:
        log.warning("a log was reset below what was finished; it is read as a new one", partition=partition)
        self._queue = deque(r for r in self._queue if (r.topic, r.partition) != partition)
        self._tasks.abandon(partition)

    def _ended(self, error: BaseException | None) -> None:
        if error is not None:
            self.fail(error)
        self._start_queued()
        self._changes.note()

    async def _run_one(self, record: Record) -> None:
        began = time.perf_counter()
        message, outputs = self._handling.decode(record)
        if message is None:
            await self._deliver(Result(record, outputs), began)
            return
        message_id = self._id(message)
        while message_id is not None and (first := self._ids_in_progress.get(message_id)) is not None:
            await first.wait()  # the same ticket is in progress: one call answers both
        if message_id is not None and message_id in self._finished:
            self._observer.skipped(self.stage.agent, "known_id", 1)
            await self._deliver(Result(record, ()), began)
            return
        mark = asyncio.Event()
        if message_id is not None:
            self._ids_in_progress[message_id] = mark
        try:
            outputs = await self._handling.call(record, message)
            remembered = None if _is_letter(outputs) else message_id
            await self._deliver(Result(record, outputs, remembered), began)
        finally:
            if message_id is not None:
                del self._ids_in_progress[message_id]
            mark.set()

    async def _deliver(self, result: Result, began: float) -> None:
        self._tasks.delivers((*result.partition, result.record.offset))
        self._start_queued()
        self._changes.note()
        await self.dispatch.deliver([result], began)

    # Stages that only compute: a chunk in one go.

    async def _catch_up(self, records: Sequence[Record]) -> None:
        """Let the stage's memory learn what came before these records, once in an assignment for each partition."""
        memory, remembered = self.stage.memory, self._remembered
        if memory is None:
            return
        before: dict[Partition, int] = {}
        for record in records:
            partition = (record.topic, record.partition)
            if partition not in remembered and self._is_ours(record):
                before.setdefault(partition, record.offset)
        if before:
            await memory.catch_up(before)
            remembered.update(before)  # the set of an assignment that has ended meanwhile is no longer looked at

    async def _run_chunk(self, records: Sequence[Record]) -> None:
        began = time.perf_counter()
        results: list[Result] = []
        seen: set[bytes] = set()
        for record in records:
            message, outputs = self._handling.decode(record)
            message_id = None if message is None else self._id(message)
            if message_id is not None and (message_id in seen or message_id in self._finished):
                self._observer.skipped(self.stage.agent, "known_id", 1)
                results.append(Result(record, ()))
                continue
            if message is not None:
                outputs = self._handling.compute(record, message)
                message_id = None if _is_letter(outputs) else message_id
            if message_id is not None:
                seen.add(message_id)
            results.append(Result(record, outputs, message_id))
        await self.dispatch.deliver(results, began)

    # Both.

    def _id(self, message: Message) -> bytes | None:
        return self.stage.topic.key_of(message) if self.stage.once else None

    def fail(self, error: BaseException) -> None:
        """Begin nothing more, and say why."""
        if self._halted:
            return  # the first error is the one to report, and what follows from stopping is none
        self._halted = True
        self._stop(error if isinstance(error, StopWorker) else StopWorker(f"delivery failed: {error!r}"))

    async def next_change(self) -> None:
        """Wait until anything finished, began or was dropped."""
        await self._changes.next()

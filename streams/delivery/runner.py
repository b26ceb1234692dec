"""Runs a stage's handler over fetched records: the steps between a fetch and a finished offset.

The order, for one record (``topology.md`` has the same numbers, and each has a test):

1. *fetch*: the driver hands over a batch; one that was fetched for an earlier assignment is dropped and read again.
2. *take*: the ledger enters the offsets; those finished or in progress are not handled again.
3. *decode*: bytes that are an invalid message become a dead letter.
4. *recall*: an id that is finished in this process needs no second call.
5. *handle*: the handler runs, within the in-flight limit and its deadline; it sends nothing itself.
6. *judge*: outputs, or one of three failures: try again (bounded), give up (dead letter), stop the worker.
7. *own*: the partition is still ours and the offset still open, or the outputs are dropped.
8. *send*: the outputs go out, and all of them are acknowledged by the broker.
9. *finish*: the ledger marks the offset.
10. *commit*: the driver commits the first unfinished offset with the finished ones beyond it.

Step 2 is here. The order of 3 to 6 is in ``task_runner.py`` for a handler that calls out, and in ``batch_runner.py`` for one
that only computes; each of these steps is in ``handling.py``. 7 to 9 are in ``dispatch.py``, 1 and 10 in
``faust_transport.py``. What exactly once changes in 8 to 10 has letters, in ``commit.py``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from streams.aio import Changes
from streams.delivery.assignment import Assignment, Partition, Phase
from streams.delivery.dispatch import Dispatch, FinishedIds, Sender
from streams.delivery.gate import Gate, GateState
from streams.delivery.handling import Handling
from streams.delivery.observer import Observer
from streams.delivery.stage import Finished, Record, Stage
from streams.errors import StopWorker

log = structlog.get_logger(__name__)


def wall_ms() -> int:
    """Return the time of day, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """What a runner has in hand at one moment."""

    positions: Mapping[Partition, int | None]
    """The next offset to read of each assigned partition; None before the first fetch of one without a commit."""
    unfinished: int
    """Messages that were taken and are not finished."""
    sending: bool
    """Whether outputs are on their way to the broker."""
    held: int = 0
    """Messages that wait for what they need, such as an endpoint that does not answer."""
    paused: bool = False
    """Whether nothing more is read, since somebody wants it so."""


class Runner(ABC):
    """What the driver sees of a stage at work; ``stop`` is called once with the error when nothing can succeed any more.

    It has two gates. ``dispatch.gate`` is what outputs pass in step 7. ``intake`` is what records pass in step 1: held, nothing
    more is read, and what was taken is handled; shut, nothing begins any more, for good.
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
        self.stage = stage
        self._stop = stop
        self._observer = observer or Observer()
        self._finished: Finished = FinishedIds() if finished is None else finished
        self._changes = Changes()
        self._handling = Handling(stage, self._observer, wall_ms, self._changes)
        self.intake = Gate(self._changes, GateState.OPEN)
        self.dispatch = Dispatch(
            stage.agent,
            sender,
            lambda record, refused: self._handling.letter(record, refused, 1),
            finished=self._finished,
            observer=self._observer,
            changes=self._changes,
        )

    # What is assigned.

    @property
    def assignment(self) -> Assignment:
        """The present assignment."""
        return self.dispatch.assignment

    def begin(self, assignment: Assignment) -> None:
        """Let this assignment count from now on; outputs may go out, and the memory of the last one is out of date."""
        if self.stage.memory is not None:
            self.stage.memory.forget()
        self.dispatch.begin(assignment)
        self._changes.note()

    def leave(self) -> None:
        """The partitions are about to be given back: begin nothing that is queued, and let what finishes in time count."""
        self.dispatch.leave()
        self.forget_queued()

    async def close_gate(self, timeout_s: float) -> None:
        """Let no further output out, and wait for the acknowledgements that are on their way, ``timeout_s`` at most."""
        await self.dispatch.shut(timeout_s)

    def end(self, phase: Phase = Phase.NONE) -> None:
        """The assignment is over; what is still in progress waits for the next one."""
        self.forget_queued()
        self.dispatch.end(phase)

    # Records.

    @property
    def in_progress(self) -> int:
        """How many records are being handled in tasks now."""
        return 0

    @property
    def has_room(self) -> bool:
        """Whether another batch is welcome."""
        return self.intake.is_open

    def accept(self, partition: Partition, records: Sequence[Record]) -> Sequence[Record]:
        """Step 2: enter a batch into the ledger and return the records to handle; called with no await since the fetch."""
        ledger = self.assignment.ledger(partition)
        if ledger is None or not records:
            return ()
        offsets = [record.offset for record in records]
        if ledger.is_reset_by(offsets[0]):
            log.warning("a log was reset below what was finished; it is read as a new one", partition=partition)
            self._abandon(partition)
        fresh = ledger.take(offsets)
        if len(fresh) == len(offsets):
            return records
        self._observer.skipped(self.stage.agent, "finished_before", len(offsets) - len(fresh))
        wanted = set(fresh)
        if self.stage.memory is not None and self.stage.once:
            # Finished beyond the committed offset: no memory finds them before it.
            done = [record for record in records if record.offset not in wanted and not ledger.is_open(record.offset)]
            self._handling.recall(done, self._finished)
        return [record for record in records if record.offset in wanted]

    @abstractmethod
    async def run(self, records: Sequence[Record]) -> None:
        """Handle accepted records."""

    def forget_queued(self) -> None:
        """Drop what was taken but not begun; a revoked partition is read again by its next owner."""
        self._changes.note()

    @abstractmethod
    def _abandon(self, partition: Partition) -> None:
        """Drop what is in hand from a log that is gone: its offsets belong to other messages now."""

    async def _catch_up(self, records: Sequence[Record]) -> None:
        """Let the stage's memory learn what came before these records, once in an assignment for each partition."""
        memory, caught_up = self.stage.memory, self.assignment.caught_up
        if memory is None:
            return
        before: dict[Partition, int] = {}
        for record in records:
            partition = (record.topic, record.partition)
            if partition not in caught_up and self._is_ours(record):
                before.setdefault(partition, record.offset)
        if before:
            await memory.catch_up(before)
            caught_up.update(before)  # an assignment that has ended meanwhile is no longer looked at

    def _is_ours(self, record: Record) -> bool:
        ledger = self.assignment.ledger((record.topic, record.partition))
        return ledger is not None and ledger.is_open(record.offset)

    # Waiting and stopping.

    def pause(self, paused: bool) -> None:
        """Read nothing more while ``paused``; what was taken is handled."""
        (self.intake.hold if paused else self.intake.release)()

    async def next_change(self) -> None:
        """Wait until anything finished, began or was dropped."""
        await self._changes.next()

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until nothing is in progress, ``timeout_s`` at most.

        Behind a shut gate nothing ends, and a hold ends nobody knows when, so there is no wait for either.
        """
        dispatch, handling = self.dispatch, self._handling
        await self._changes.until(
            lambda: dispatch.gate.is_shut or not (self.in_progress > handling.held or dispatch.sending), timeout_s
        )

    def workload(self) -> Workload:
        """Return what is in hand now."""
        ledgers = self.assignment.ledgers
        return Workload(
            positions={partition: ledger.position for partition, ledger in ledgers.items()},
            unfinished=sum(ledger.unfinished for ledger in ledgers.values()),
            sending=self.dispatch.sending > 0,
            held=self._handling.held,
            paused=self.intake.state is GateState.HELD,
        )

    def fail(self, error: BaseException) -> None:
        """Begin nothing more, and say why."""
        if self.intake.is_shut:
            return  # the first error is the one to report, and what follows from stopping is none
        self.intake.shut()
        self._stop(error if isinstance(error, StopWorker) else StopWorker(f"delivery failed: {error!r}"))

    def cancel(self) -> None:
        """Cancel everything in progress, for good; it is handled again by the partition's next owner."""
        self.intake.shut()

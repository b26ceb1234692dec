"""A faust transport whose consumer hands over whole batches and commits from ledgers.

faust keeps group membership, rebalances, the commit timer and the agents. What differs from its own driver:

- ``_drain_messages`` hands all batches of a fetch on as one event, and never awaits between the check that the
  fetch belongs to the present assignment and the ledger that takes it (steps 1 and 2 of the runner);
- ``force_commit`` commits the ledgers: the first unfinished offset, and the finished ones beyond it as metadata (step 10);
- ``perform_seek``, which faust calls when partitions were assigned, restores the ledgers from those commits;
- ``wait_empty``, which faust calls when partitions are revoked, is bounded, and shuts the gate before the last commit;
- commits that fail because a broker is unavailable are tried again by the next commit instead of ending the worker.

What this relies on inside faust and aiokafka is listed in ``tests/support/internals.py``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from faust.transport.drivers import aiokafka as stock
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.delivery.assignment import Assignment, Phase
from streams.delivery.commit import AtLeastOnce, Committing
from streams.delivery.faust_consumer import LoopConsumer
from streams.delivery.ledger import MAX_SPAN, Commit, Ledger
from streams.delivery.observer import Observer
from streams.delivery.runner import Runner
from streams.delivery.stage import Limits, Record
from streams.errors import StopWorker
from streams.kafka.outbox import TransactionLost

log = structlog.get_logger(__name__)

#: Batches that may wait for the agent; the fetcher reads ahead on its own anyway.
_WAITING_BATCHES = 1
_ASK_AGAIN_S = 0.5
#: For finding out that a broker does not answer.
_DIAL_S = 20.0


class Consumer(stock.Consumer):
    """The consumer of one stage; ``runner`` and ``limits`` come from the transport."""

    #: By this one faust says each start and stop of a service, at the level set for the library; else it takes our name.
    logger = logging.getLogger("faust")

    _thread: LoopConsumer

    def __init__(self, transport: LedgerTransport, *args: Any, **kwargs: Any) -> None:
        super().__init__(transport, *args, **kwargs)
        self._runner = transport.runner
        self._limits = transport.limits
        self._observer = transport.observer
        self._committing = transport.committing
        self._broker_answers = transport.broker_answers
        self._rebalance_began: float | None = None
        self._refused: TopicAuthorizationFailedError | None = None

    def _new_consumer_thread(self) -> LoopConsumer:
        return LoopConsumer(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    # Fetching.

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                while not self._runner.has_room or self._waiting_batches() > _WAITING_BATCHES:
                    await self._runner.next_change()
                await self.fetch_once()
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.transport.app.should_stop:
                raise
        except TopicAuthorizationFailedError as refused:
            # Raised, it would be a crash with a traceback in faust's log; the caller of the group's errors receives it.
            self._refused = refused
            while not (self.should_stop or fetcher.should_stop):
                await self.sleep(0.1)

    async def fetch_once(self) -> None:
        """Step 1: hand one fetch over to the agent, or nothing if there is nothing to read."""
        assignment = self._runner.assignment
        active = {tp for tp in self._get_active_partitions() if self._may_read_on(tp)}
        if not active:
            await self.sleep(0.1)  # no partitions here, or each a full span behind one slow message
            return
        records = await self._getmany(active, timeout=1.0)
        if not records:
            return
        # No await from this check to the ledger.
        if assignment is not self._runner.assignment or not self.flow_active:
            await self._read_again(records)
            return
        wanted: list[Record] = []
        for tp, batch in records.items():
            wanted += self._runner.accept((tp.topic, tp.partition), batch)
        if wanted:
            self._hand_over(wanted)

    def _may_read_on(self, tp: TP) -> bool:
        ledger = self._runner.assignment.ledger((tp.topic, tp.partition))
        return ledger is not None and ledger.span < MAX_SPAN

    async def _read_again(self, records: Iterable[TP]) -> None:
        """Seek back, so that the offsets of a dropped batch are not skipped: the ledger never heard of them."""
        positions = {
            TP(tp.topic, tp.partition): ledger.position
            for tp in records
            if (ledger := self._runner.assignment.ledger((tp.topic, tp.partition))) is not None
        }
        if positions:
            await self._thread.rewind(positions)

    def _channels(self, topic: str) -> Iterable[Any]:
        return self.app.topics._topic_name_index.get(topic, ())  # type: ignore[no-any-return]

    def _waiting_batches(self) -> int:
        topics = {tp.topic for tp in self._get_active_partitions()}
        return sum(channel.queue.qsize() for topic in topics for channel in self._channels(topic))

    def _hand_over(self, records: Sequence[Record]) -> None:
        """Put a fetch into the agent's stream as one event.

        One for all partitions: a stage that computes waits for the acknowledgements of an event before it takes the next.
        """
        first = records[0]
        message = ConsumerMessage(
            first.topic, first.partition, first.offset, 0.0, 0, (), None, records, None,
            tp=TP(first.topic, first.partition), generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        event = self.app.create_event(None, records, {}, message)
        for channel in self._channels(first.topic):
            channel.queue.put_nowait(event)

    def check_group(self) -> None:
        """Raise the KafkaError that keeps this consumer out of its group or from its topic, if there is one."""
        if self._refused is not None:
            raise self._refused
        self._thread.check_group()

    # Rebalances.

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish what can be finished in time, commit, and forget the assignment."""
        self._rebalance_began = time.perf_counter()
        self._runner.leave()
        await super().on_partitions_revoked(revoked)
        self._runner.end()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin without ledgers: ``perform_seek`` restores them, and batches fetched before are stale."""
        self._runner.end()
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:
            self._report_rebalance(0)  # there is nothing to restore, so faust calls nothing else

    async def perform_seek(self) -> None:
        """Restore the ledgers of the present assignment from what was committed, and read on from there.

        While the broker is unavailable that goes on in the background: without ledgers nothing is read. Raises TimeoutError,
        which ends the worker, if the broker answers others and does not say what was committed.
        """
        restoring = asyncio.create_task(self._restore_in_the_end())
        try:
            # faust would go on by itself after a while, and drop this.
            await asyncio.wait({restoring}, timeout=self._limits.restore_wait_s + _DIAL_S)
        finally:
            if not restoring.done():
                self.add_future(_awaited(restoring))
        if restoring.done():
            restoring.result()

    async def _restore_in_the_end(self) -> None:
        before = self._runner.assignment
        while before is self._runner.assignment:
            try:
                async with asyncio.timeout(self._limits.restore_wait_s):
                    await self._restore()
            except StopWorker as away:
                # The watch on the broker tells the operator.
                log.debug("the broker is unavailable, asking again", error=str(away))
                await asyncio.sleep(_ASK_AGAIN_S)
            except TimeoutError:
                if await self._broker_answers():
                    raise
        assignment = self._runner.assignment
        if assignment.phase is Phase.STANDS:  # else another rebalance came meanwhile
            self._report_rebalance(len(assignment.ledgers))

    async def _restore(self) -> None:
        before = self._runner.assignment
        await self._committing.begin(self._thread)
        partitions = {TP(tp.topic, tp.partition) for tp in self.assignment()}
        committed = await self._thread.committed(partitions)
        if before is not self._runner.assignment:
            return  # another rebalance came meanwhile; it restores for itself
        assignment = Assignment.restored(partitions, committed)
        self._runner.begin(assignment)
        # Only now: a fetch from before the rebalance may have taken a batch meanwhile, which was dropped and must be read
        # again. From here on _read_again knows the ledgers and sees to it.
        await self._thread.rewind({tp: assignment.ledgers[tp].position for tp in partitions})

    def _report_rebalance(self, partitions: int) -> None:
        began, self._rebalance_began = self._rebalance_began, None
        seconds = 0.0 if began is None else time.perf_counter() - began
        self._observer.rebalanced(self._runner.stage.agent, partitions, seconds)

    async def wait_empty(self) -> None:
        """Give work in progress a bounded time, then shut the gate and commit."""
        await self._runner.wait_idle(self._limits.revoke_wait_s)
        await self._commit_last()

    async def on_stop(self) -> None:
        """Commit once more; the caller that stops the app has drained the runner before."""
        await self._commit_last()
        self._runner.cancel()

    async def _commit_last(self) -> None:
        self._runner.leave()
        await self._runner.close_gate(self._limits.gate_wait_s)
        # A commit that is on its way began before the last offsets finished, and faust would take it for this one.
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()
        self._committing.leave()

    # Committing.

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002 - faust's signature
        """Step 10: commit every ledger that moved since its last commit."""
        assignment = self._runner.assignment
        if assignment.phase is Phase.LOST:
            await self._begin_again()
            return False
        if assignment.phase is Phase.NONE:
            return False
        try:
            done = await self._committing.commit(self._thread, self._moved)
        except TransactionLost as lost:
            agent = self._runner.stage.agent
            log.warning("a transaction was lost, what it held goes out again", agent=agent, why=str(lost))
            self._observer.retried(agent, "TransactionLost")
            await self._begin_again()
            return False
        except StopWorker as refused:
            self._runner.fail(refused)
            return False
        assignment.committed.update(done)
        return bool(done)

    def _moved(self) -> dict[TP, Commit]:
        commits: dict[TP, Commit] = {}
        assignment = self._runner.assignment
        for tp in (TP(each.topic, each.partition) for each in self.assignment()):
            ledger = assignment.ledger(tp)
            commit = None if ledger is None else ledger.commit()
            if ledger is not None and commit is not None:
                self._report(tp, ledger, commit)
                if commit != assignment.committed.get(tp):
                    commits[tp] = commit
        return commits

    async def _begin_again(self) -> None:
        """Restore the same assignment from what is committed, as after a rebalance, if it is to go on."""
        if self._runner.assignment.phase not in {Phase.STANDS, Phase.LOST}:
            self._runner.end()
            return  # the next owner begins there
        self._runner.end(Phase.LOST)
        try:
            async with asyncio.timeout(self._limits.commit_wait_s):
                await self._restore()
        except (TimeoutError, KafkaError, StopWorker) as away:
            log.debug("the broker is unavailable, the next commit tries again", error=repr(away))

    def _report(self, tp: Any, ledger: Ledger, commit: Commit) -> None:
        highwater = self.highwater(tp)
        lag = 0 if highwater is None else max(0, highwater - commit.offset)
        if lag and ledger.unfinished == 0 and self._thread.read_to(tp) == highwater:
            lag = 0  # what lies beyond the last message are the markers of transactions
        self._observer.committed(self._runner.stage.agent, tp.topic, tp.partition, commit.offset, lag)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: faust's livelock detector watches acks, and there are none here."""


async def _yes() -> bool:
    return True


async def _awaited(task: asyncio.Task[None]) -> None:
    """Wait for a task, and cancel it if the wait is."""
    await task


class LedgerTransport(stock.Transport):
    """The transport of one stage's app: ``app.transport = LedgerTransport(url, app, runner=...)``."""

    Consumer = Consumer

    def __init__(
        self,
        url: Any,
        app: Any,
        *,
        runner: Runner,
        committing: Committing | None = None,
        limits: Limits | None = None,
        observer: Observer | None = None,
        broker_answers: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        super().__init__(url, app)
        self.broker_answers = broker_answers or _yes
        self.runner = runner
        self.limits = limits or Limits()
        self.committing = committing or AtLeastOnce(self.limits)
        self.observer = observer or Observer()

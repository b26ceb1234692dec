"""Owns the aiokafka consumer, on the agent's own event loop: it commits with metadata, reads commits back, and seeks.

faust gives each consumer a thread with a separate loop, so that heartbeats go out while an agent blocks the other loop. Here no
agent blocks, a loop that stalls is ended from outside, and the hand-overs between the threads were most of what a
message waited for (``docs/throughput.md``).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NotCoordinatorError,
    OffsetMetadataTooLargeError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from streams.aio import is_cancelled
from streams.delivery.kip447 import UNSTABLE_OFFSET_COMMIT, StableOffsetFetchRequest, by_topic
from streams.delivery.ledger import Commit
from streams.delivery.transactions import Member
from streams.kafka.consumers import close_client

log = structlog.get_logger(__name__)

#: An idle fetch is answered after this long; faust's 1500 ms would be the wait of a partition that was left out of one.
FETCH_WAIT_MS = 100
#: How long a stop may wait for an unavailable broker.
_STOP_S = 5.0
#: Until a coordinator is asked again that moves, loads, or has offsets in a transaction that is not decided.
_ASK_AGAIN_S = 0.1


class LoopConsumer(stock.AIOKafkaConsumerThread):
    """faust's consumer thread without the thread, and with commits that carry metadata."""

    #: By this one faust says each start and stop of a service, at the level set for the library; else it takes our name.
    logger = logging.getLogger("faust")

    async def start(self) -> None:
        """Start in this loop; raises the KafkaError that keeps the consumer from its broker."""
        self._thread_started.set()
        await self._default_start()

    async def on_start(self) -> None:
        """Start the consumer."""
        await super().on_start()
        follow_leaders(self._ensure_consumer())

    async def on_stop(self) -> None:
        """Do what the thread would do at its end."""
        await self._shutdown_thread()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do at once what faust would send into the thread."""
        result = fun(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # The outputs of a transaction that was aborted are nobody's business, whichever way this stage commits.
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_thread_stop(self) -> None:
        """Leave the group and close the connections; an unavailable broker finds out by the session timeout."""
        try:
            async with asyncio.timeout(_STOP_S):
                await super().on_thread_stop()
        except TimeoutError:
            log.warning("the broker did not answer to leaving the group")
            if self._consumer is not None:
                await close_client(self._consumer)
        except asyncio.CancelledError:
            # That of a fetch of aiokafka's own, maybe: see stop_consumer.
            if self._consumer is not None:
                await close_client(self._consumer)
            if is_cancelled():
                raise

    async def commit_ledgers(self, commits: Mapping[TP, Commit], wait_s: float) -> bool:
        """Commit offsets with metadata; False if a rebalance or an unavailable broker forbids it within ``wait_s``."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        offsets = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(commit.offset, commit.metadata)
            for tp, commit in commits.items()
        }
        offsets = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not offsets:
            return False
        try:
            # aiokafka tries again without end, and would send this commit in the name of a later assignment.
            async with asyncio.timeout(wait_s):
                await _commit(consumer, offsets)
        except (CommitFailedError, IllegalStateError) as late:
            log.info("commit skipped, the group rebalances", reason=str(late))
            return False
        except (KafkaError, TimeoutError) as error:
            log.warning("commit failed, the next one tries again", error=repr(error))
            return False
        return True

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, Commit]:
        """Read back what was committed for these partitions."""
        wanted = list(partitions)
        return await read_back(self._ensure_consumer()._coordinator, wanted) if wanted else {}

    def member(self) -> Member:
        """Return which member of the group this consumer is, and in which generation."""
        coordinator = self._ensure_consumer()._coordinator
        return Member(coordinator.group_id, coordinator.generation, coordinator.member_id)

    def read_to(self, tp: TP) -> int | None:
        """Return the next offset to fetch, past the markers of transactions; None if it is not known."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        partition = TopicPartition(tp.topic, tp.partition)
        if assignment is None or partition not in assignment.tps:
            return None
        position: int | None = assignment.state_value(partition)._position
        return position

    def check_group(self) -> None:
        """Raise the KafkaError that the group's membership waits with, if there is one.

        faust never asks for it: a worker without a right on its group would wait for ever.
        """
        coordinator = None if self._consumer is None else self._consumer._coordinator
        if coordinator is not None:
            coordinator.check_errors()

    async def rewind(self, positions: Mapping[TP, int | None]) -> None:
        """Read on from these offsets; from the beginning if there is none."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        unknown = []
        for tp, offset in positions.items():
            partition = TopicPartition(tp.topic, tp.partition)
            if partition in assigned and offset is not None:
                consumer.seek(partition, offset)
            elif partition in assigned:
                unknown.append(partition)
        if unknown:
            await consumer.seek_to_beginning(*unknown)


def follow_leaders(consumer: Any) -> None:
    """Let a started consumer look for a partition's leader if a node says that it is none.

    aiokafka does so when it fetches, but asks the same node again and again for a partition's first offset: after brokers had
    died, agents stalled until their metadata were five minutes old or the wait for a restored assignment was over.
    """
    client, ask = consumer._client, consumer._fetcher._proc_offset_request

    async def ask_and_look(node_id: int, topics: Any) -> Any:
        try:
            return await ask(node_id, topics)
        except KafkaError as error:
            if error.invalid_metadata:
                client.force_metadata_update()
            raise

    consumer._fetcher._proc_offset_request = ask_and_look


async def _commit(consumer: Any, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
    try:
        await consumer.commit(offsets)
    except OffsetMetadataTooLargeError:
        # The broker's offset.metadata.max.bytes is under Kafka's default. The offsets are what matters.
        await consumer.commit({tp: OffsetAndMetadata(at.offset, "") for tp, at in offsets.items()})


async def read_back(coordinator: Any, partitions: Sequence[TP]) -> dict[TP, Commit]:
    """Return what the coordinator's group has committed; waits for transactions that are not decided yet."""
    request = StableOffsetFetchRequest(coordinator.group_id, by_topic(partitions))
    while True:
        await coordinator.ensure_coordinator_known()
        try:
            answer = await coordinator._send_req(request)
            rows = [(topic, *_row(row)) for topic, rows, *_ in answer.topics for row in rows]
            for code in filter(None, [answer.error_code, *(code for *_, code in rows)]):
                raise for_code(code)(code)
        except KafkaError as error:
            if not (error.retriable or error.args == (UNSTABLE_OFFSET_COMMIT,)):
                raise
            if isinstance(error, NotCoordinatorError):
                coordinator.coordinator_dead()
            await asyncio.sleep(_ASK_AGAIN_S)
        else:
            return {TP(topic, number): Commit(at, text or "") for topic, number, at, text, _ in rows if at >= 0}


def _row(row: Sequence[Any]) -> tuple[int, int, str | None, int]:
    """Return partition, offset, metadata and error code, of version 3 or 7."""
    number, offset, *_ = row
    metadata, code = row[2:4] if len(row) == 4 else row[3:5]
    return number, offset, metadata, code

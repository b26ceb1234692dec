"""Transactions of one stage: its outputs and the offsets that they came from are committed together, or not at all.

What a transaction holds is read only by consumers of committed messages. The broker takes its offsets only from the
member that owns the partitions in the present generation of the group (KIP-447). So the transactional id need not say
which partitions a producer works for: it is the group's name and a random part, new for every start of the stage.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaError,
    NotCoordinatorError,
    OffsetMetadataTooLargeError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest

from streams.delivery.kip447 import TxnOffsetCommitRequest
from streams.delivery.ledger import Commit
from streams.errors import StopWorker
from streams.kafka.outbox import FINAL, TransactionLost

#: A coordinator that answers so, or not at all, is asked again.
_WAIT = (
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    CoordinatorLoadInProgressError,
    ConcurrentTransactions,
    UnknownTopicOrPartitionError,
)
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Member:
    """Who commits: a member of a group in one generation of it."""

    group_id: str
    generation: int
    member_id: str


class Transactions:
    """One transaction after another; the line of an outbox.

    ``start`` is given the transactional id and returns a started producer, ``stop`` stops one. A transaction that failed in
    any way is *lost*: there is no producer until ``begin``, which starts another one under the same id. With that the broker
    decides what became of the last transaction: it is complete, or aborted, and its producer is fenced.
    """

    final = False

    def __init__(
        self,
        group_id: str,
        start: Callable[[str], Coroutine[Any, Any, AIOKafkaProducer]],
        stop: Callable[[AIOKafkaProducer], Coroutine[Any, Any, None]],
    ) -> None:
        self.transactional_id = f"{group_id}-{secrets.token_hex(8)}"
        self._start = start
        self._stop = stop
        self._producer: AIOKafkaProducer | None = None
        self._fenced: list[AIOKafkaProducer] = []
        self._stopping: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()  # two commits at once break aiokafka's producer

    def producer(self, before: AIOKafkaProducer | None = None) -> AIOKafkaProducer:
        """Return the producer of the open transaction; raises TransactionLost if there is none, or not that of ``before``."""
        if self._producer is None or before not in (None, self._producer):
            raise TransactionLost("it was given up")
        return self._producer

    async def broken(self, producer: AIOKafkaProducer) -> None:
        """Give the transaction up, if it is still the one of this producer."""
        if producer is self._producer:
            self.lose()

    def lose(self) -> None:
        """Give the open transaction up."""
        if self._producer is not None:
            self._fenced.append(self._producer)
            self._producer = None

    async def begin(self) -> None:
        """Begin a transaction unless one is open; raises StopWorker if the broker is unavailable or has no transactions."""
        async with self._lock:
            if self._producer is not None:
                return
            producer = await self._start(self.transactional_id)
            await producer.begin_transaction()
            self._producer = producer
            while self._fenced:
                task = asyncio.create_task(self._stop(self._fenced.pop()))
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)

    async def commit(self, member: Member, commits: Mapping[tuple[str, int], Commit], wait_s: float) -> None:
        """Put these offsets by (topic, partition) into the transaction, commit it, and begin the next one.

        Raises TransactionLost if that failed or took longer than ``wait_s``; StopWorker if the broker will never do it.
        """
        async with self._lock:
            producer = self.producer()
            try:
                async with asyncio.timeout(wait_s):
                    await _put_offsets(producer, member, commits)
                    await _end(producer)
                    await producer.begin_transaction()
            except (*FINAL, GroupAuthorizationFailedError) as refused:
                self.lose()
                raise StopWorker(f"the broker refuses this worker: {type(refused).__name__}: {refused}") from refused
            except OffsetMetadataTooLargeError as refused:
                self.lose()
                raise StopWorker(
                    "delivery: exactly_once needs the broker's offset.metadata.max.bytes to be 4096, which is Kafka's default"
                ) from refused
            except (KafkaError, TimeoutError) as error:
                self.lose()
                raise TransactionLost(_why(error)) from error
            except BaseException:
                self.lose()  # cancelled half-way: what the broker has seen is unknown
                raise

    async def stop(self) -> None:
        """Stop every producer; a transaction that is open and not empty is aborted by the broker at its time-out."""
        self.lose()
        await asyncio.gather(*(self._stop(producer) for producer in self._fenced), *self._stopping)
        self._fenced = []


def _why(error: Exception) -> str:
    return "the broker did not answer in time" if isinstance(error, TimeoutError) else repr(error)


async def _end(producer: AIOKafkaProducer) -> None:
    if producer._txn_manager.is_fatal_error():
        raise TransactionLost("its producer was fenced")
    await producer.commit_transaction()


async def _put_offsets(producer: AIOKafkaProducer, member: Member, commits: Mapping[tuple[str, int], Commit]) -> None:
    """Put offsets into the open transaction; the broker takes them from a member of the present generation only."""
    if not commits:
        return
    if member.generation < 0 or not member.member_id:
        raise TransactionLost("the group does not know this worker")  # unnamed, the broker would take them from anybody
    manager, sender = producer._txn_manager, producer._sender
    who = (manager.producer_id, manager.producer_epoch)
    joining = AddOffsetsToTxnRequest(manager.transactional_id, *who, member.group_id)
    await _ask(
        sender, CoordinationType.TRANSACTION, manager.transactional_id, joining, lambda answer: [answer.error_code]
    )
    manager.consumer_group_added(
        member.group_id
    )  # or aiokafka would take a transaction without messages for an empty one
    offsets = TxnOffsetCommitRequest(
        manager.transactional_id, who, member.group_id, (member.generation, member.member_id), commits
    )
    await _ask(
        sender,
        CoordinationType.GROUP,
        member.group_id,
        offsets,
        lambda answer: [row[1] for _, rows, _ in answer.topics for row in rows],
    )


async def _ask(sender: Any, kind: Any, key: str, request: Any, codes: Callable[[Any], list[int]]) -> None:
    """Ask a coordinator until it does what is asked; raises the KafkaError of its refusal."""
    while True:
        node = await sender._find_coordinator(kind, key)
        try:
            answer = await sender.client.send(node, request, group=ConnectionGroup.COORDINATION)
            for code in filter(None, codes(answer)):
                raise for_code(code)()
        except KafkaError as error:
            if not (error.retriable or isinstance(error, _WAIT)):
                raise
            sender._coordinator_dead(kind)
            await asyncio.sleep(_PAUSE_S)
        else:
            return

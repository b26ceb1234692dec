"""A stage: one agent's handler, the topic it reads, and the limits it runs under."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from schemas import Message, Topic

#: A handler that calls out (a model, a store): one task per message.
AsyncHandler = Callable[[Any], Awaitable[Sequence[Message]]]
#: A handler that only computes: whole batches in one go.
SyncHandler = Callable[[Any], Sequence[Message]]
#: What a stage promises the consumers of its outputs: each at least once, or, to a consumer of committed messages, exactly once.
Delivery = Literal["at_least_once", "exactly_once"]


class Record(Protocol):
    """One fetched record; aiokafka's ConsumerRecord is one."""

    @property
    def topic(self) -> str:
        """Physical topic name."""

    @property
    def partition(self) -> int:
        """Partition number."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def key(self) -> bytes | None:
        """Key bytes."""

    @property
    def value(self) -> bytes | None:
        """Value bytes."""

    @property
    def timestamp(self) -> int:
        """Unix time in milliseconds; -1 if there is none."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names and values."""


class Finished(Protocol):
    """The ids of messages that are finished; ``FinishedIds`` is one."""

    def why_known(self, message_id: bytes) -> str | None:
        """Return why a message needs no call, as metrics count it; None if it does."""

    def group_of(self, message_id: bytes) -> bytes:
        """Return what messages share of which one is handled at a time."""

    def add(self, message_id: bytes) -> None:
        """Remember one id."""

    def discard(self, message_ids: Iterable[bytes]) -> None:
        """Forget ids that are not finished after all."""


class Memory(Protocol):
    """What a stage remembers from one message to the next, rebuilt from topics after every rebalance."""

    def forget(self) -> None:
        """Forget what may be out of date: another assignment begins, and somebody else may have handled what came meanwhile."""

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Remember what the records of each (topic, partition) before this offset told.

        Called before the first record of a partition is handled, which is the one at the offset.
        """


@dataclass(frozen=True, slots=True)
class Memories:
    """Several memories of one stage."""

    memories: Sequence[Memory]

    def forget(self) -> None:
        """Have each of them forget."""
        for memory in self.memories:
            memory.forget()

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:
        """Have each of them catch up, in their order."""
        for memory in self.memories:
            await memory.catch_up(before)


@dataclass(frozen=True, slots=True)
class Stage:
    """One agent: messages of ``topic`` go through ``handler``, which returns the messages to send.

    A handler raises TryAgain, GiveUp or StopWorker; anything else it raises is taken for GiveUp, so that one ticket that
    meets a defect never blocks the others. ``once`` says that a key occurs once (a ticket's id): a redelivery of
    a key that is finished in this process is finished without a second call.
    """

    agent: str
    topic: Topic
    handler: AsyncHandler | SyncHandler
    in_flight: int = 128
    """The most messages in progress at once (async handlers)."""
    deadline_s: float = 120.0
    """The longest one handler call may take; over it the call counts as TryAgain."""
    attempts: int = 4
    """How often TryAgain is obeyed before the message becomes a dead letter."""
    once: bool = True
    read: Callable[[Record], Any] | None = None
    """Makes of a record what the handler is called with, and raises InvalidMessage; without it, the topic's message."""
    memory: Memory | None = None
    """A synchronous handler with one sees each partition's records in order, and none twice in one assignment."""
    finished: Finished | None = None
    """What is remembered of finished messages; without it, the ids of the last 200,000."""
    id_of: Callable[[Any], bytes] | None = None
    """The id that ``finished`` knows a message by; without it, the key and the turn."""
    resume_per_s: float | None = None
    """How many messages begin in the first second after a pause; twice as many in the next, and so on. None: no bound."""

    @property
    def computes_only(self) -> bool:
        """Whether the handler is synchronous, and so runs on whole batches."""
        handler = self.handler
        return not (inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__))


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the driver waits, seconds."""

    revoke_wait_s: float = 3.0
    """For work in progress when partitions are revoked. The whole group pauses meanwhile."""
    gate_wait_s: float = 2.0
    """For acknowledgements that are on their way, before the last commit of an assignment."""
    commit_wait_s: float = 5.0
    """For one commit; an unavailable broker answers a later one."""
    restore_wait_s: float = 60.0
    """For what was committed, after an assignment; over it the worker ends, unless the broker is unavailable. faust's own limit
    of 90 s ends nothing, and would leave a worker that stalls."""

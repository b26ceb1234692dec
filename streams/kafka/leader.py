"""Which of several processes leads: the one to whose consumer group membership Kafka gave partition 0 of a topic."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Protocol, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.consumers import start, stop_consumer
from streams.kafka.diagnosis import refusal

log = structlog.get_logger(__name__)


class _Leads(Protocol):
    def __call__(self, *, leading: bool) -> None: ...


class Leadership:
    """A membership in a group; ``leading`` is set while this process is the one. An async context manager.

    Kafka's group protocol gives each partition to one member, and to another one soon after a member has died. For a
    moment two may think that they lead (one that was frozen, or cut off from the broker): what a leader does has to
    bear being done twice.
    """

    def __init__(self, topic: str, group: str, connection: Connection) -> None:
        self.leading = asyncio.Event()
        self._standing_by = asyncio.Event()
        self._standing_by.set()
        self._topic = topic
        self._connection = connection
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=connection.bootstrap,
            group_id=group,
            auto_offset_reset="latest",
            enable_auto_commit=False,
            session_timeout_ms=round(connection.session_timeout_s * 1000),
            heartbeat_interval_ms=round(connection.heartbeat_s * 1000),
            rebalance_timeout_ms=round(connection.rebalance_timeout_s * 1000),
            **connection.client_options,
        )
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await start(self._consumer, self._connection)
        self._consumer.subscribe([self._topic], listener=_Listener(self._topic, self._set))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._set(leading=False)
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(
                asyncio.CancelledError, StopWorker
            ):  # the caller that awaits the membership receives it
                await self._reading
        await stop_consumer(self._consumer)

    async def membership(self) -> None:
        """Wait as long as this process is in the group; raises StopWorker if it may not be."""
        assert self._reading is not None, "there is no membership before it is entered"
        await asyncio.shield(self._reading)

    async def lost(self) -> None:
        """Wait until this process does not lead."""
        await self._standing_by.wait()

    def _set(self, *, leading: bool) -> None:
        ends, begins = (self._standing_by, self.leading) if leading else (self.leading, self._standing_by)
        ends.clear()
        begins.set()

    async def _read(self) -> None:
        """Read on and forget: a member that fetches nothing for minutes is taken for dead."""
        while True:
            try:
                await self._consumer.getmany(timeout_ms=1000)
            except KafkaError as error:
                if refused := refusal(error, self._connection.security):
                    raise StopWorker(refused) from error
                log.warning("the group of leaders cannot be read", error=repr(error))
                await asyncio.sleep(1.0)


class _Listener(ConsumerRebalanceListener):
    def __init__(self, topic: str, leads: _Leads) -> None:
        self._first = TopicPartition(topic, 0)
        self._leads = leads

    async def on_partitions_revoked(self, revoked: Any) -> None:
        del revoked  # all of them, whichever they were
        self._leads(leading=False)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self._leads(leading=self._first in assigned)

"""Producers: how one is started, with what the broker offers, and stopped within bounds."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import chain

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, ProducerClosed

from streams.errors import StopWorker
from streams.kafka.batches import look_at
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import refusal, unreachable
from streams.kafka.outbox import FINAL

#: A dead letter carries up to 1 MiB of original bytes in base64.
MAX_REQUEST_BYTES = 5 * 1024 * 1024
#: Large batches: with aiokafka's 16 KiB default, thousands of messages in flight wake one another quadratically.
MAX_BATCH_BYTES = 1024 * 1024
#: How long a producer that is stopped may wait for an unavailable broker.
_PRODUCER_STOP_S = 5.0
#: A transaction whose worker has died is aborted after this share of the session time-out: by the time that the group
#: gives the dead worker's partitions to another one, nothing waits for it any more.
_TRANSACTION_SHARE = 0.8


async def start_producer(connection: Connection, transactional_id: str | None = None) -> AIOKafkaProducer:
    """Return a started producer, idempotent if the broker offers that; with an id one for transactions.

    Raises StopWorker if there is no broker, or none with transactions if they are asked for.
    """
    for idempotent in (True, False):
        producer = AIOKafkaProducer(
            bootstrap_servers=connection.bootstrap,
            acks="all",
            enable_idempotence=idempotent,
            transactional_id=transactional_id,
            transaction_timeout_ms=round(1000 * _TRANSACTION_SHARE * connection.session_timeout_s),
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            **connection.client_options,
        )
        try:
            await producer.start()
        except (KafkaConnectionError, OSError, AssertionError) as error:
            # A broker that has just come back may name no broker yet, not even itself: aiokafka asserts that there is one.
            await _discard(producer)
            raise await unreachable(connection.bootstrap, connection.security, error) from error
        except KafkaError as error:
            # The embedded broker answers InitProducerId with UnknownError: a plain producer is what it offers.
            await _discard(producer)
            if isinstance(error, FINAL):
                refused = refusal(error, connection.security)
                raise StopWorker(refused or f"the broker refuses this worker: {type(error).__name__}") from error
            if transactional_id is not None:
                raise StopWorker(
                    f"delivery: exactly_once needs transactions, which the broker at {connection.bootstrap} does not have"
                    " (the embedded one has none); set delivery: at_least_once, or use Apache Kafka"
                ) from error
            if not idempotent:
                raise StopWorker(f"the broker at {connection.bootstrap} takes no producer: {error}") from error
        except asyncio.CancelledError:
            await _discard(producer)
            raise
        else:
            return producer
    raise AssertionError("unreachable")


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer; what the broker does not take within seconds is given up, its inputs being unfinished."""
    try:
        async with asyncio.timeout(_PRODUCER_STOP_S):
            await producer.stop()
    except TimeoutError:
        # An idempotent producer waits for its broker without end. What its tasks still do ends with the connections.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await producer.client.close()
                await producer._sender.close()
        # A caller that still waits for an acknowledgement would wait for ever.
        accumulator = producer._message_accumulator
        accumulator.fail_all(ProducerClosed())
        for batch in chain(accumulator._pending_batches, *accumulator._batches.values()):
            look_at(batch._drain_waiter)


async def _discard(producer: AIOKafkaProducer) -> None:
    """Stop a producer whose start failed; its sender repeats the error that is already known."""
    with contextlib.suppress(KafkaError):
        await producer.stop()

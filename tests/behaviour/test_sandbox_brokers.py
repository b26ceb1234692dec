"""What both brokers of the sandbox do for a client, and what only Apache Kafka does."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import OffsetMetadataTooLargeError, TopicAuthorizationFailedError
from aiokafka.structs import OffsetAndMetadata

from streams.errors import SandboxError
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.brokers.kafka_config import KafkaSecurity
from streams.sandbox.brokers.readiness import cluster_view
from tests.support.brokers import require_kafka
from tests.support.certificates import BrokerCertificate

needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="waits for processes that are not its children, as Linux can"
)

# The embedded broker lets a group wait half a session for more members.
QUICK_JOIN = {"session_timeout_ms": 2000, "heartbeat_interval_ms": 300}


async def new_topic(bootstrap: str, *, partitions: int = 1, copies: int = 1, **login: Any) -> str:
    name = f"sandbox-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **login)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=copies)])
    finally:
        await admin.close()
    return name


@asynccontextmanager
async def producer(bootstrap: str, **options: object) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **options)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def read(bootstrap: str, topic: str, count: int, **options: object) -> list[bytes]:
    """The first ``count`` values of the topic, and whatever came in the same fetch."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", **options)
    await consumer.start()
    values: list[bytes] = []
    try:
        async with asyncio.timeout(60):
            while len(values) < count:
                batches = await consumer.getmany(timeout_ms=1000)
                values += [record.value for batch in batches.values() for record in batch]
    finally:
        await consumer.stop()
    return values


def ports_of(bootstrap: str) -> list[int]:
    return [int(address.rpartition(":")[2]) for address in bootstrap.split(",")]


def assert_free(ports: list[int]) -> None:
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            probe.listen()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def make_broker(request: pytest.FixtureRequest) -> Callable[[], Broker]:
    """Makes brokers of either kind for tests that stop them."""
    if request.param == "embedded":
        return EmbeddedBroker
    require_kafka()
    return LocalKafka


async def test_what_is_produced_is_consumed(broker: Broker) -> None:
    topic = await new_topic(broker.bootstrap)
    sent = [str(number).encode() for number in range(100)]
    async with producer(broker.bootstrap) as client:
        await asyncio.gather(*[await client.send(topic, value, key=value) for value in sent])
    assert await read(broker.bootstrap, topic, 100, group_id=topic, **QUICK_JOIN) == sent


async def test_two_event_loops_share_the_broker(broker: Broker) -> None:
    topic = await asyncio.to_thread(lambda: asyncio.run(new_topic(broker.bootstrap)))
    async with producer(broker.bootstrap) as client:
        await client.send_and_wait(topic, b"here")
    assert await asyncio.to_thread(lambda: asyncio.run(read(broker.bootstrap, topic, 1))) == [b"here"]


@needs_pidfd
async def test_stop_leaves_no_process_and_frees_the_port(make_broker: Callable[[], Broker]) -> None:
    broker = make_broker()
    await broker.start()
    ports = ports_of(broker.bootstrap)
    (pid,) = broker.pids
    await broker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert broker.pids == ()
    assert_free(ports)


PARENT = """
import asyncio, sys
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka

async def main():
    broker = {"embedded": EmbeddedBroker, "kafka": LocalKafka}[sys.argv[1]](**eval(sys.argv[2]))
    await broker.start()
    print(*broker.pids, broker.bootstrap, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@needs_pidfd
def test_a_parent_that_is_killed_leaves_no_broker(make_broker: Callable[[], Broker], tmp_path: Path) -> None:
    kind = make_broker().kind
    # A folder of the test's own, because a killed parent removes none.
    options = repr({"directory": tmp_path / "kafka"}) if kind == "kafka" else "{}"
    script = "from pathlib import PosixPath\n" + PARENT
    command = [sys.executable, "-c", script, kind, options]
    with ExitStack() as cleanup:
        parent = cleanup.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        cleanup.callback(parent.kill)
        assert parent.stdout is not None
        pid, bootstrap = parent.stdout.readline().split()
        child = os.pidfd_open(int(pid))
        cleanup.callback(os.close, child)
        assert select.select([child], [], [], 0) == ([], [], []), "it is running"
        parent.kill()
        assert select.select([child], [], [], 20) == ([child], [], []), "it must end with its parent"
    assert_free(ports_of(bootstrap))


@pytest.mark.kafka
async def test_a_commit_keeps_its_metadata_up_to_4096_bytes(kafka_broker: LocalKafka) -> None:
    topic = await new_topic(kafka_broker.bootstrap)
    partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_broker.bootstrap, group_id=topic, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(7, "m" * 4096)})
        with pytest.raises(OffsetMetadataTooLargeError):
            await consumer.commit({partition: OffsetAndMetadata(8, "m" * 4097)})
        (kept,) = (await committed(kafka_broker.bootstrap, topic)).values()
    finally:
        await consumer.stop()
    assert kept == OffsetAndMetadata(7, "m" * 4096)


async def committed(bootstrap: str, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        offsets: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return offsets


@pytest.mark.kafka
async def test_a_transaction_that_is_aborted_is_not_read(kafka_broker: LocalKafka) -> None:
    topic = await new_topic(kafka_broker.bootstrap)
    async with producer(kafka_broker.bootstrap, transactional_id=topic) as client:
        for value, kept in ((b"first", True), (b"aborted", False), (b"last", True)):
            await client.begin_transaction()
            await client.send_and_wait(topic, value)
            await (client.commit_transaction() if kept else client.abort_transaction())
    assert await read(kafka_broker.bootstrap, topic, 2, isolation_level="read_committed") == [b"first", b"last"]


@pytest.mark.kafka
async def test_a_cluster_of_three_keeps_what_it_acknowledged_when_a_node_is_killed() -> None:
    require_kafka()
    async with LocalKafka(3) as cluster:
        assert len(cluster.pids) == 3
        topic = await new_topic(cluster.bootstrap, partitions=3, copies=3)
        acknowledged: list[bytes] = []
        async with producer(cluster.bootstrap, enable_idempotence=True) as client:

            async def send(count: int) -> None:
                values = [str(len(acknowledged) + number).encode() for number in range(count)]
                await asyncio.gather(*[await client.send(topic, value, key=value) for value in values])
                acknowledged.extend(values)

            await send(100)
            victim = client.client.cluster.leader_for_partition(TopicPartition(topic, 0))
            await cluster.kill(victim)
            assert len(cluster.pids) == 2
            with pytest.raises(SandboxError, match=f"node {victim} of Apache Kafka is down"):
                await cluster.wait_ready()
            await send(100)

            await cluster.restart(victim)
            await cluster.wait_ready()
            views = [await cluster_view(port) for port in ports_of(cluster.bootstrap)]
            assert all(view is not None and view.in_sync for view in views), "the restarted node has caught up"
            await send(100)
        assert sorted(await read(cluster.bootstrap, topic, 300)) == sorted(acknowledged)


@pytest.mark.kafka
async def test_a_frozen_node_does_not_answer_until_it_runs_on() -> None:
    require_kafka()
    async with LocalKafka() as cluster:
        cluster.pause(0)
        with pytest.raises(SandboxError, match="not ready within 0 s"):
            await cluster.wait_ready(seconds=0)
        cluster.resume(0)
        await cluster.wait_ready()
        cluster.pause(0)  # and a frozen one can be stopped


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        pytest.param("num.io.threads", "0", "could not be formatted", id="seen while formatting"),
        pytest.param("metric.reporters", "no.such.Reporter", "is down", id="seen while starting"),
    ],
)
async def test_a_node_that_refuses_its_settings_is_quoted(
    tmp_path: Path, setting: str, value: str, complaint: str
) -> None:
    require_kafka()
    directory = tmp_path / "kafka"
    with pytest.raises(SandboxError, match=f"(?s){complaint}.*{value}"):
        async with LocalKafka(directory=directory, extra={setting: value}):
            pass
    assert (directory / "node-0" / "output.log").exists(), "a directory that was given is kept"
    with pytest.raises(SandboxError, match="not empty"):
        await LocalKafka(directory=directory).start()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[KafkaSecurity, ssl.SSLContext]:
    """A server's own certificate made by Java's keytool, and a client's context that trusts only it."""
    require_kafka()
    made = BrokerCertificate.make(tmp_path)
    security = KafkaSecurity(
        protocol="SASL_SSL",
        users={"root": "root-secret", "worker": "worker-secret"},
        administrators=["root"],
        properties=made.properties,
    )
    return security, ssl.create_default_context(cafile=made.pem)


@pytest.mark.kafka
async def test_with_security_a_user_needs_a_password_and_rights(
    certificate: tuple[KafkaSecurity, ssl.SSLContext],
) -> None:
    security, context = certificate

    def login(user: str) -> dict[str, Any]:
        return {
            "security_protocol": "SASL_SSL",
            "ssl_context": context,
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user,
            "sasl_plain_password": f"{user}-secret",
        }

    async with LocalKafka(security=security) as cluster:
        topic = await new_topic(cluster.bootstrap, **login("root"))
        async with producer(cluster.bootstrap, **login("root")) as client:
            await client.send_and_wait(topic, b"allowed")
        async with producer(cluster.bootstrap, **login("worker")) as client:
            with pytest.raises(TopicAuthorizationFailedError):
                await client.send_and_wait(topic, b"refused")
        assert await read(cluster.bootstrap, topic, 1, **login("root")) == [b"allowed"]

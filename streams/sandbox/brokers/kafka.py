"""A local Apache Kafka of one or three nodes, for tests and trials of failure.

It runs in KRaft mode, each node broker and controller in one, from the jars that `kafka_jars` keeps.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from streams.errors import SandboxError
from streams.sandbox.brokers.kafka_config import (
    KafkaSecurity,
    NodePorts,
    initial_controllers,
    scram_arguments,
    server_properties,
)
from streams.sandbox.brokers.kafka_jars import QUICK_START, KafkaDistribution, kafka_distribution
from streams.sandbox.brokers.readiness import cluster_view
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess

_READY_SECONDS = 90.0
_FORMAT_SECONDS = 60.0
_STOP_SECONDS = 20.0
# The last voter of three waits 5 s for a majority that has gone. Data that are about to be removed need no farewell.
_THROWAWAY_STOP_SECONDS = 1.0
_HEAP = "-Xmx384m"


@dataclass(slots=True)
class _Node:
    """One node: its folder and ports, which it keeps while it is down, and its process."""

    number: int
    directory: Path
    ports: NodePorts
    distribution: KafkaDistribution
    jvm_flags: Sequence[str]
    process: ChildProcess | None = None

    async def format(self, options: Sequence[str]) -> None:
        command = self.distribution.command(
            "kafka.tools.StorageTool", "format", "-c", "server.properties", *options, flags=QUICK_START
        )
        formatter = ChildProcess(command, output=self.directory / "output.log", cwd=self.directory)
        try:
            if await formatter.wait(_FORMAT_SECONDS) != 0:
                raise SandboxError(f"node {self.number} of Apache Kafka could not be formatted:\n{formatter.tail()}")
        finally:
            await formatter.kill()

    def launch(self) -> None:
        self.process = ChildProcess(
            self.distribution.command("kafka.Kafka", "server.properties", flags=[_HEAP, *self.jvm_flags]),
            output=self.directory / "output.log",
            cwd=self.directory,
        )


class LocalKafka:
    """A `Broker` that is the real Apache Kafka, with nodes to kill, freeze and start again.

    It always begins empty. Its processes die with ours. Nodes are numbered from 0. The cluster takes about 4 s to
    notice that a node is killed or frozen (``broker.session.timeout.ms``).
    """

    kind: Literal["kafka"] = "kafka"

    def __init__(
        self,
        nodes: int = 1,
        *,
        directory: Path | None = None,
        port: int | None = None,
        security: KafkaSecurity | None = None,
        extra: Mapping[str, str] | None = None,
        jvm_flags: Sequence[str] = QUICK_START,
    ) -> None:
        """Nothing runs before `start`; raises SandboxError unless ``nodes`` is 1 or 3.

        ``directory``: an empty or absent folder for the data and ``output.log`` of each node, kept afterwards; without
        one a temporary folder, removed by `stop`. ``port``: the client port of node 0, the next nodes take the ones
        that follow; without it, free ports. ``extra``: more server properties. ``jvm_flags``: how each JVM
        compiles and collects; without them, for a quick start.
        """
        if nodes not in (1, 3):
            raise SandboxError(f"a local Apache Kafka has 1 or 3 nodes, not {nodes}")
        self._size = nodes
        self._wanted_directory = directory
        self._wanted_port = port
        self._security = security
        self._extra = dict(extra or {})
        self._jvm_flags = tuple(jvm_flags)
        self._directory: Path | None = None
        self._reserved: list[ReservedPort] = []
        self._nodes: list[_Node] = []
        self._cluster_id = ""

    @property
    def bootstrap(self) -> str:
        """``127.0.0.1:port`` of every node, also of one that is down; raises SandboxError before `start`."""
        return ",".join(f"127.0.0.1:{node.ports.client}" for node in self._started())

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the nodes that are up (a paused node is up), in the order of the nodes."""
        return tuple(node.process.pid for node in self._nodes if node.process is not None and node.process.alive)

    async def start(self) -> None:
        """Fetch the jars if need be, format the nodes, start them, and wait until the cluster is whole.

        Raises SandboxError when a tool is missing, Maven fails or a port is taken, and with the last lines of a node
        that died.
        """
        if self._nodes:
            raise SandboxError("this Apache Kafka is already running: stop it first")
        try:
            self._prepare(await asyncio.to_thread(kafka_distribution))
            await self._format()
            for node in self._nodes:
                node.launch()
            await self.wait_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """SIGTERM to all nodes, a bounded wait, SIGKILL; removes the data unless a directory was given."""
        nodes, self._nodes = self._nodes, []
        grace = _STOP_SECONDS if self._wanted_directory is not None else _THROWAWAY_STOP_SECONDS
        try:
            await asyncio.gather(*(node.process.stop(grace) for node in nodes if node.process is not None))
        finally:
            while self._reserved:
                self._reserved.pop().release()
            directory, self._directory = self._directory, None
            if directory is not None and self._wanted_directory is None:
                await asyncio.to_thread(shutil.rmtree, directory)

    async def wait_ready(self, seconds: float = _READY_SECONDS) -> None:
        """Wait until every node answers, sees all the others, and no replica of any topic lags behind.

        Raises SandboxError after ``seconds``, and at once with the last lines of a node that is down.
        """
        everyone = frozenset(range(self._size))
        deadline = time.monotonic() + seconds
        for node in self._started():
            while True:
                view = await cluster_view(node.ports.internal)
                if view is not None and view.cluster_id == self._cluster_id and view.nodes == everyone and view.in_sync:
                    break
                self._raise_if_down()
                if time.monotonic() > deadline:
                    raise SandboxError(
                        f"Apache Kafka was not ready within {seconds:.0f} s; node {node.number} saw {view}"
                    )
                await asyncio.sleep(0.05)

    async def kill(self, node: int) -> None:
        """SIGKILL one node; returns when the process is gone. Its data and port are kept for `restart`."""
        await self._process(node).kill()

    def pause(self, node: int) -> None:
        """Freeze one node (SIGSTOP)."""
        self._process(node).pause()

    def resume(self, node: int) -> None:
        """Let a frozen node run on (SIGCONT)."""
        self._process(node).resume()

    async def restart(self, node: int) -> None:
        """Start one node again on its data, stopped in order first if it is up; `wait_ready` awaits its catching up."""
        await self._process(node).stop(_STOP_SECONDS)
        self._nodes[node].launch()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _started(self) -> list[_Node]:
        if not self._nodes:
            raise SandboxError("this Apache Kafka is not running: start it first")
        return self._nodes

    def _process(self, node: int) -> ChildProcess:
        process = self._started()[node].process
        if process is None:
            raise SandboxError(f"node {node} of Apache Kafka has not been started")
        return process

    def _reserve(self, port: int | None = None) -> int:
        self._reserved.append(ReservedPort(port))
        return self._reserved[-1].number

    def _prepare(self, distribution: KafkaDistribution) -> None:
        self._directory = self._wanted_directory or Path(tempfile.mkdtemp(prefix="hedgerow-kafka-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        if any(self._directory.iterdir()):
            raise SandboxError(f"{self._directory} is not empty: a local Apache Kafka begins with an empty folder")
        first = self._wanted_port
        clients = [self._reserve(None if first is None else first + number) for number in range(self._size)]
        ports = [NodePorts(client, internal=self._reserve(), controller=self._reserve()) for client in clients]
        for number in range(self._size):
            directory = self._directory / f"node-{number}"
            directory.mkdir()
            text = server_properties(number, ports, security=self._security, extra=self._extra)
            (directory / "server.properties").write_text(text, encoding="ascii")
            self._nodes.append(_Node(number, directory, ports[number], distribution, self._jvm_flags))

    async def _format(self) -> None:
        self._cluster_id = _kafka_uuid()
        controllers = initial_controllers([node.ports for node in self._nodes], [_kafka_uuid() for _ in self._nodes])
        options = ["-t", self._cluster_id, "--initial-controllers", controllers, *scram_arguments(self._security)]
        # All are awaited before the first failure is raised, so that none still writes when the folder is removed.
        results = await asyncio.gather(*(node.format(options) for node in self._nodes), return_exceptions=True)
        for failure in filter(None, results):
            raise failure

    def _raise_if_down(self) -> None:
        for node in self._nodes:
            if node.process is None or not node.process.alive:
                tail = node.process.tail() if node.process is not None else ""
                raise SandboxError(f"node {node.number} of Apache Kafka is down; its last words:\n{tail}")


def _kafka_uuid() -> str:
    """A random id as Kafka writes it: URL-safe base64 without padding, and no leading dash, which begins an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text

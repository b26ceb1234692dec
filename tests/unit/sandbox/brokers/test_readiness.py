from __future__ import annotations

import asyncio

import pytest

from streams.sandbox.brokers import readiness
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.readiness import cluster_view
from streams.sandbox.ports import ReservedPort


async def test_a_port_without_a_server_gives_no_view() -> None:
    with ReservedPort() as port:
        assert await cluster_view(port.number) is None


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x04\x00\x00\x00\x01"])
async def test_a_server_that_does_not_speak_kafka_gives_no_view(answer: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        assert await cluster_view(server.sockets[0].getsockname()[1]) is None


async def test_a_server_that_never_answers_gives_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_ANSWER_SECONDS", 0.05)
    done = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        assert await cluster_view(server.sockets[0].getsockname()[1]) is None
        done.set()


async def test_a_broker_names_its_cluster_and_nodes(embedded_broker: EmbeddedBroker) -> None:
    view = await cluster_view(int(embedded_broker.bootstrap.rpartition(":")[2]))
    assert view is not None
    assert view.cluster_id.startswith("hedgerow-")
    assert len(view.nodes) == 1
    assert view.in_sync

"""What is said of an endpoint that cannot be asked: which one, where, why, and the way out; real sockets for what they show."""

from __future__ import annotations

import asyncio
import ssl
from unittest.mock import Mock

import aiohttp
import pytest

from streams.errors import StopWorker
from streams.models.endpoint import Endpoint
from streams.models.http import Exchange, Unanswered
from streams.models.trouble import address_of, unreachable
from streams.sandbox.ports import ReservedPort


async def said(base_url: str) -> str:
    endpoint = Endpoint(base_url=base_url, model="m", attempts=1, timeout_s=2.0)
    exchange = Exchange(endpoint, name="the cheap tier's endpoint")
    try:
        came = await exchange.send("/chat/completions", b"{}")
    finally:
        await exchange.close()
    assert isinstance(came, Unanswered)
    assert len(came.detail.splitlines()) == 1
    return came.detail


@pytest.mark.parametrize(
    ("base_url", "shown"),
    [
        ("https://api.example.com/v1/", "https://api.example.com:443/v1"),
        ("http://api.example.com", "http://api.example.com:80"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_has_its_port(base_url: str, shown: str) -> None:
    assert address_of(base_url) == shown


async def test_a_port_on_which_nothing_listens() -> None:
    with ReservedPort() as port:
        url = f"http://127.0.0.1:{port.number}/v1"
        line = await said(url)
    assert (
        line == f"the cheap tier's endpoint at {url} refuses connections: is the server running, and is this its port?"
    )


async def test_a_host_that_is_not_known() -> None:
    line = await said("http://nowhere.invalid/v1")
    assert (
        line
        == "the host of the cheap tier's endpoint at http://nowhere.invalid:80/v1 is not known (DNS): check base_url"
    )


async def with_server(reply: bytes, scheme: str) -> str:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        return await said(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")


async def test_a_server_that_speaks_no_tls() -> None:
    assert "speaks no TLS that this client knows: should base_url begin with http:?" in await with_server(
        b"HTTP/1.1 400 Bad Request\r\n\r\n", "https"
    )


async def test_a_server_that_hangs_up() -> None:
    assert "broke the connection off before it had answered" in await with_server(b"", "http")


def test_a_certificate_that_is_not_trusted() -> None:
    refused = ssl.SSLCertVerificationError(1, "x")
    refused.verify_message = "self-signed certificate"
    error = aiohttp.ClientConnectorCertificateError(Mock(), refused)
    assert unreachable("the endpoint at https://a:443", error) == (
        "the endpoint at https://a:443 shows a certificate that is not trusted (TLS): self-signed certificate"
    )


@pytest.mark.parametrize(
    ("status", "variable", "way_out"),
    [
        (401, "MODEL_KEY", "check the key in MODEL_KEY"),
        (403, None, "name the variable with the key in api_key_env"),
        (404, None, "check model (m) and base_url"),
    ],
)
async def test_a_refusal_says_what_to_look_at(
    status: int, variable: str | None, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_KEY", "sk-wrong")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        exchange = Exchange(Endpoint(base_url=url, model="m", api_key_env=variable), name="the big tier's endpoint")
        with pytest.raises(StopWorker) as refused:
            await exchange.send("/chat/completions", b"{}")
        await exchange.close()
    assert str(refused.value) == f"the big tier's endpoint at {url} refuses: {status}: no readable error; {way_out}"

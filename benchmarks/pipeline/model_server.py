"""A model server that costs next to nothing: honest bodies, made once at the start, after a set latency.

``python -m benchmarks.pipeline.model_server --port PORT``. The bodies are those of the sandbox's two trained models for
the bundled tickets, and for the text that a worker asks about at its start. The base URL names the latency:
``http://127.0.0.1:PORT/20/v1`` answers after 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Sequence
from typing import cast

import orjson
import uvloop

from benchmarks.pipeline.tickets import texts
from streams.core.signal.instructions import Prompt
from streams.core.signal.labels import LabelSet
from streams.models.contract_check import HARMLESS_TEXT
from streams.sandbox.model_server.requests import ChatRequest
from streams.sandbox.model_server.served import BIG, CHEAP
from streams.sandbox.model_server.service import ModelService
from streams.sandbox.model_server.trained import trained_models
from streams.sandbox.model_server.training import read_training_set, train
from streams.sandbox.tickets import TRAIN

#: What was asked (model, text) and the whole HTTP response.
Canned = dict[tuple[str, str], bytes]
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LATENCY = re.compile(rb"POST /([0-9.]+)/v1/chat/completions ")
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


async def canned(asked: Sequence[str]) -> Canned:
    """Return what the sandbox's trained models answer to each text."""
    models = train(read_training_set(TRAIN), seed=0)
    labels = LabelSet(models.labels)
    prompt = Prompt(labels.labels, labels.answers)
    service = ModelService(trained_models(models, seed=0, jitter=0.0), models.labels)
    answers: Canned = {}
    for name in (CHEAP, BIG):
        for text in asked:
            fields = {"model": name, "messages": list(prompt.messages(text)), "logprobs": True, "top_logprobs": 20}
            body = orjson.dumps(await service.chat(ChatRequest.parse(fields), service.model(name)))
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            answers[name, text] = head.encode() + body
    return answers


class Connection(asyncio.Protocol):
    """One kept-alive connection of a client that sends no request before the last one is answered."""

    def __init__(self, answers: Canned) -> None:
        self._answers = answers
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer a request once it is there as a whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[: end + 2])
        length = _LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < whole:
            return
        body = bytes(self._received[end + 4 : whole])
        del self._received[:whole]
        latency = _LATENCY.match(head)
        if latency is None:
            self._write(_NOT_FOUND)
            return
        asked = orjson.loads(body)
        answer = self._answers.get((asked["model"], asked["messages"][-1]["content"]), _NOT_FOUND)
        asyncio.get_running_loop().call_later(float(latency[1]) / 1000, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int) -> None:
    """Serve until the process is stopped."""
    answers = await canned([*texts(), HARMLESS_TEXT])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", port, reuse_address=True, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve on a port of this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()

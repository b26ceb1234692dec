"""The HTTP face of the sandbox's models, as OpenAI shapes it, with every fault on a switch."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import orjson
from aiohttp import web

from streams.errors import SettingsError
from streams.sandbox.model_server.damage import spoil
from streams.sandbox.model_server.embeddings import SandboxEmbedder
from streams.sandbox.model_server.faults import Fault, FaultName, Faults
from streams.sandbox.model_server.latency import Latency
from streams.sandbox.model_server.requests import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    RequestRefused,
)
from streams.sandbox.model_server.served import ALIASES, EMBEDDING, ServedModel
from streams.sandbox.model_server.service import ModelService
from streams.sandbox.model_server.stats import ServerStats
from streams.sandbox.model_server.trained import trained_models
from streams.sandbox.model_server.training import TrainedModels
from streams.sandbox.model_server.wire import Body, embeddings_body, error_body, models_body

_CREATED = 1_785_542_400
"""When the models were "made", seconds since 1970: the date in their ids."""

_GARBAGE = b"<html><body>upstream connect error or disconnect/reset before headers</body></html>"
_SHUTDOWN_SECONDS = 1.0

_NAMES = (*ALIASES, EMBEDDING)

_Asked = TypeVar("_Asked", ChatRequest, CompletionRequest)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server behaves without faults; ``jitter`` is the deviation of each logit from call to call, in nats."""

    seed: int = 0
    jitter: float = 0.01
    latency: Latency = field(default_factory=Latency)
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.jitter < 0.0:
            raise SettingsError(f"the jitter must be at least 0 nats, got {self.jitter}")


def create_app(
    models: TrainedModels,
    options: ServerOptions | None = None,
    *,
    faults: Sequence[str] = (),
    cheap: ServedModel | None = None,
) -> web.Application:
    """Return the application; `serving` runs it. Raises SettingsError for a fault that does not exist.

    ``cheap`` takes the place of the trained cheap model; the application closes it when it ends.
    """
    options = options or ServerOptions()
    parsed = Faults.parse(faults, _NAMES)
    trained_cheap, big = trained_models(models, seed=options.seed, jitter=options.jitter)
    service = ModelService((cheap or trained_cheap, big), models.labels)
    server = _Server(service, options, parsed)
    app = web.Application(middlewares=[server.errors_as_bodies])
    app.add_routes(
        [
            web.post("/v1/chat/completions", server.chat),
            web.post("/v1/completions", server.complete),
            web.post("/v1/embeddings", server.embed),
            web.get("/v1/models", server.list_models),
            web.post("/sandbox/faults", server.switch_faults),
            web.get("/sandbox/stats", server.report),
        ]
    )
    app.on_shutdown.append(server.stop)
    app.on_cleanup.append(server.close)
    return app


@asynccontextmanager
async def serving(app: web.Application, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve ``app`` on this port of ``host`` (0: any free one) and yield its base URL, which ends in ``/v1``."""
    # Cancelling the handler of a client that has gone is what ends a call under the fault `hang`.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS, keepalive_timeout=300.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True, backlog=1024).start()
        yield f"http://{host}:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


class _Server:
    def __init__(self, service: ModelService, options: ServerOptions, faults: Faults) -> None:
        self._service = service
        self._latency = options.latency
        self._api_key = options.api_key
        self._chance = random.Random(options.seed)  # noqa: S311 (nothing secret is drawn from it)
        self._faults = faults
        self._stats = ServerStats.of(_NAMES)
        self._embedder = SandboxEmbedder()
        self._stopping = asyncio.Event()

    async def stop(self, _: web.Application) -> None:
        self._stopping.set()

    async def close(self, _: web.Application) -> None:
        await self._service.close()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, ChatRequest.parse, self._service.chat)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, CompletionRequest.parse, self._service.complete)

    async def embed(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request)
        asked = EmbeddingRequest.parse(await _read(request))
        if asked.model != EMBEDDING:
            self._service.model(asked.model)  # refuses a name that nobody has
            raise RequestRefused(400, f"The model '{asked.model}' makes no embeddings.", param="model")

        async def answer(fault: Fault | None) -> Body:
            del fault  # none changes what the embeddings are
            vectors = await self._embedder.embed(asked.texts)
            return embeddings_body(EMBEDDING, vectors.tolist(), sum(len(text.split()) for text in asked.texts))

        return await self._counted(request, EMBEDDING, answer)

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        self._authorise(request)
        return _json(models_body((*self._service.model_names, EMBEDDING), _CREATED))

    async def switch_faults(self, request: web.Request) -> web.StreamResponse:
        body = await _read(request)
        texts = body.get("faults") if isinstance(body, dict) else None
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RequestRefused(400, "'faults' must be an array of strings like 'NAME=RATE'.", param="faults")
        try:
            self._faults = Faults.parse(texts, _NAMES)
        except SettingsError as error:
            raise RequestRefused(400, str(error), param="faults") from error
        return _json({"faults": self._active()})

    async def report(self, _: web.Request) -> web.StreamResponse:
        about = {"pid": os.getpid(), "labels": self._service.labels, "active_faults": self._active()}
        return _json(about | self._stats.as_dict())

    @web.middleware
    async def errors_as_bodies(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestRefused as refused:
            error = error_body(str(refused), refused.kind, param=refused.param, code=refused.code)
            status, headers = refused.status, refused.headers
        except web.HTTPException as failed:
            error = error_body(f"{failed.reason}: {request.method} {request.path}", "invalid_request_error")
            status, headers = failed.status, {}
        self._stats.refusals[str(status)] += 1
        return web.Response(body=orjson.dumps(error), status=status, headers=headers, content_type="application/json")

    async def _answer(
        self,
        request: web.Request,
        parse: Callable[[object], _Asked],
        answer: Callable[[_Asked, ServedModel], Awaitable[Body]],
    ) -> web.StreamResponse:
        self._authorise(request)
        asked = parse(await _read(request))
        model = self._service.model(asked.model)

        async def answered(fault: Fault | None) -> Body:
            if fault is not None and fault.name is FaultName.DRIFT:
                return await answer(asked, model.drifted(fault.amount))
            return await answer(asked, model)

        return await self._counted(request, model.alias, answered)

    async def _counted(
        self, request: web.Request, alias: str, answer: Callable[[Fault | None], Awaitable[Body]]
    ) -> web.StreamResponse:
        """Answer with a body, or as the fault has it that strikes the call, and count both."""
        counts = self._stats.models[alias]
        counts.requests += 1
        fault = self._faults.draw(self._chance, alias)
        if fault is not None:
            self._stats.faults[fault.name.value] += 1
        try:
            await self._refuse_or_delay(fault)
            body = await answer(fault)
        except asyncio.CancelledError:
            counts.abandoned += 1
            raise
        counts.prompt_tokens += body["usage"]["prompt_tokens"]
        counts.completion_tokens += body["usage"].get("completion_tokens", 0)
        if fault is not None:
            spoil(body, fault)
            if fault.name is FaultName.CUT:
                return await _cut(request, orjson.dumps(body))
        counts.answered += 1
        return _respond(body, fault)

    async def _refuse_or_delay(self, fault: Fault | None) -> None:
        match fault:
            case Fault(FaultName.RATE_LIMIT, seconds):
                headers = {"Retry-After": f"{seconds:g}", "retry-after-ms": f"{seconds * 1000:.0f}"}
                raise RequestRefused(
                    429, "Rate limit reached.", kind="requests", code="rate_limit_exceeded", headers=headers
                )
            case Fault(FaultName.SERVER_ERROR):
                raise RequestRefused(500, "The server had an error while processing your request.", kind="server_error")
            case Fault(FaultName.HANG):
                await self._stopping.wait()
                raise RequestRefused(503, "The server is shutting down.", kind="server_error")
            case Fault(FaultName.SLOW, milliseconds):
                await asyncio.sleep(milliseconds / 1000.0)
        await asyncio.sleep(self._latency.draw(self._chance))

    def _authorise(self, request: web.Request) -> None:
        if self._api_key is None:
            return
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self._api_key}".encode()):
            raise RequestRefused(401, "Incorrect API key provided.", code="invalid_api_key")

    def _active(self) -> list[str]:
        return [str(switch) for switch in self._faults.switches]


async def _read(request: web.Request) -> object:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"We could not parse the JSON body of your request: {error}") from error


async def _cut(request: web.Request, payload: bytes) -> web.StreamResponse:
    """Promise the whole payload, send half of it, and close the connection."""
    response = web.StreamResponse(headers={"Content-Length": str(len(payload)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(payload[: len(payload) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _respond(body: Body, fault: Fault | None) -> web.Response:
    if fault is not None and fault.name is FaultName.GARBAGE:
        return web.Response(body=_GARBAGE, content_type="application/json")
    if fault is not None and fault.name is FaultName.NAN_LOGPROB:
        return web.Response(body=json.dumps(body).encode(), content_type="application/json")  # writes NaN, orjson null
    return _json(body)


def _json(body: Body) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")

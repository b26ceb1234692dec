"""The pages that a process serves about itself: /metrics, and for a worker /health and /ready."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas import Tier
from streams.errors import StopWorker
from streams.observability.liveness import Standing, State
from streams.observability.metrics import MetricsObserver
from streams.settings import MetricsSettings

log = structlog.get_logger(__name__)

_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says: yes (200) or no (503), and why, one line a stage."""

    ok: bool
    facts: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]

    def body(self) -> str:
        """Return it as JSON with each agent on a separate line."""
        stages = ",\n".join(f"  {json.dumps(agent)}: {json.dumps(facts)}" for agent, facts in self.stages.items())
        facts = "".join(f" {json.dumps(name)}: {json.dumps(value)},\n" for name, value in self.facts.items())
        return f'{{\n "ok": {json.dumps(self.ok)},\n{facts} "stages": {{\n{stages}\n }}\n}}\n'


def health(agents: Sequence[str], standings: Mapping[str, Standing]) -> Answer:
    """Say whether no agent stalls (liveness): a worker that waits for its broker or its models is well."""
    stages: dict[str, dict[str, Any]] = {agent: {"state": "starting"} for agent in agents}
    for agent, standing in standings.items():
        stages[agent] = {"state": standing.state, "quiet_s": round(standing.quiet_s, 1)}
    return Answer(not any(standing.state is State.STALLED for standing in standings.values()), {}, stages)


def readiness(
    agents: Sequence[str],
    joined: Collection[str],
    partitions: Mapping[str, int],
    contracts: Mapping[Tier, str],
    *,
    broker: str | None,
    started: bool,
    down: Sequence[str] = (),
    limits: Sequence[str] = (),
    paused: Mapping[str, str] | None = None,
) -> Answer:
    """Say whether the worker has started, is not about to stop, and every agent is a member of its group.

    ``broker`` is why the broker does not answer, or None: a worker whose broker is unavailable is not ready. One whose
    endpoints are ``down``, or that has reached one of its ``limits``, is ready all the same, but "degraded"; and so is one of which agents are
    ``paused``: name to by whom and why. ``contracts`` says of each tier that is asked here what its check at the start
    found.
    """
    stages = {agent: {"joined": agent in joined, "partitions": partitions.get(agent, 0)} for agent in agents}
    ready = started and broker is None and len(joined) == len(agents)
    status = "not ready" if not ready else "degraded" if down or limits else "paused" if paused else "ready"
    facts = {
        "status": status,
        "broker": broker or "answers",
        "endpoints": list(down),
        "limits": list(limits),
        "paused": dict(paused or {}),
        "started": started,
        "contracts": dict(contracts),
    }
    return Answer(ready, facts, stages)


@asynccontextmanager
async def serve_metrics(
    settings: MetricsSettings, observer: MetricsObserver, pages: Mapping[str, Callable[[], Answer]] | None = None
) -> AsyncIterator[int | None]:
    """Serve /metrics and the ``pages`` by their paths, and yield the port.

    A port that is in use gives way to the next free one, within ``port_search``. Without a configured port nothing is
    served and None is yielded. Raises StopWorker if no port can be had.
    """
    if settings.port is None:
        yield None
        return

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(observer.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    for path, answer in (pages or {}).items():
        app.router.add_get(path, _page(answer))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        port = await _listen(runner, settings.host, settings.port, settings.port_search)
        moved = {} if settings.port in {0, port} else {"in_use": _span(settings.port, port - 1)}
        log.info("metrics served", url=f"http://{settings.host}:{port}/metrics", **moved)
        yield port
    finally:
        await runner.cleanup()


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first} to {last}"


async def _listen(runner: web.AppRunner, host: str, first: int, further: int) -> int:
    """Serve on the first port that is free, and return it."""
    last = min(first + further, _LAST_PORT) if first else 0
    for port in range(first, last + 1):
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port < last:
                continue
            ports = _span(first, port)
            # asyncio puts the address into the text, which is named already; a name that is not found has no number.
            number = error.errno or 0
            said = os.strerror(number) if number > 0 else str(error)
            raise StopWorker(f"metrics cannot be served on {host}, port {ports}: {said}") from error
        return int(runner.addresses[0][1])
    raise AssertionError("a search ends in a port or an error")


def _page(answer: Callable[[], Answer]) -> Callable[[web.Request], Any]:
    async def page(_: web.Request) -> web.Response:
        said = answer()
        return web.Response(text=said.body(), status=200 if said.ok else 503, content_type="application/json")

    return page

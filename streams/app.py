"""Joins agents, models and delivery into a worker process."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import stamina.instrumentation
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from schemas import TOPICS
from streams.agents.classify import classify
from streams.agents.escalate import escalate
from streams.agents.review import review
from streams.agents.review_store import ReviewStore
from streams.agents.score import score
from streams.delivery.service import StageService
from streams.delivery.stage import AsyncHandler, Stage, SyncHandler
from streams.errors import StopWorker
from streams.metrics import MetricsObserver
from streams.models.client import ModelClient
from streams.settings import AgentName, MetricsSettings, Settings

log = structlog.get_logger(__name__)

#: Which topic each agent reads.
READS: dict[AgentName, str] = {
    "classify": "tickets",
    "score": "classifications",
    "escalate": "escalations",
    "review": "reviews",
}

#: A database that restarts is away for longer than a model: with pauses of up to 30 s, these last a quarter of an hour.
_STORE_ATTEMPTS = 36


class Worker:
    """Runs some of the agents until it is told to stop or nothing can succeed any more."""

    def __init__(self, settings: Settings, agents: Sequence[AgentName]) -> None:
        self._settings = settings
        self._agents = tuple(dict.fromkeys(agents))
        self._stop = asyncio.Event()
        self._error: StopWorker | None = None
        self.observer = MetricsObserver()
        self.ready = asyncio.Event()

    def stop(self) -> None:
        """Ask for a graceful end: what is in progress is finished and committed."""
        self._stop.set()

    async def run(self) -> None:
        """Run until ``stop``; raises StopWorker with the one line that says why nothing can succeed any more."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serve_metrics(self._settings.metrics, self.observer))
            services = [await self._service(agent, stack) for agent in self._agents]
            try:
                await asyncio.gather(*(service.start() for service in services))
                self.ready.set()
                log.info("worker ready", agents=self._agents, broker=self._settings.broker.bootstrap)
                await self._stop.wait()
            finally:
                await asyncio.gather(*(service.stop(self._settings.worker.stop_wait_s) for service in services))
        if self._error is not None:
            raise self._error

    def _failed(self, error: StopWorker) -> None:
        self._error = self._error or error
        self._stop.set()

    async def _service(self, agent: AgentName, stack: AsyncExitStack) -> StageService:
        settings = self._settings
        stage = Stage(
            agent=agent,
            topic=TOPICS[READS[agent]],
            handler=await self._handler(agent, stack),
            in_flight=settings.worker.in_flight,
            deadline_s=settings.worker.handler_deadline_s,
            attempts=_STORE_ATTEMPTS if agent == "review" else settings.worker.handler_attempts,
        )
        return StageService(
            stage,
            settings.broker.connection,
            prefix=settings.topics.prefix,
            failed=self._failed,
            observer=self.observer,
            limits=settings.worker.limits,
        )

    async def _handler(self, agent: AgentName, stack: AsyncExitStack) -> AsyncHandler | SyncHandler:
        settings = self._settings
        labels = settings.label_set
        if agent == "classify":
            client = await stack.enter_async_context(ModelClient("cheap", settings.tiers.cheap, labels))
            return classify(client.ask)
        if agent == "score":
            return score(settings.policy, len(settings.labels))
        if agent == "escalate":
            client = await stack.enter_async_context(ModelClient("big", settings.tiers.big, labels))
            return escalate(client.ask, settings.policy, len(settings.labels))
        return review(ReviewStore(settings.review.url, labels=settings.labels))


@asynccontextmanager
async def serve_metrics(settings: MetricsSettings, observer: MetricsObserver) -> AsyncIterator[int | None]:
    """Serve /metrics and yield the port; without a configured port nothing is served and None is yielded."""
    if settings.port is None:
        yield None
        return

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(observer.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        port = runner.addresses[0][1]
        log.info("metrics served", url=f"http://{settings.host}:{port}/metrics")
        yield port
    except OSError as error:
        raise StopWorker(f"metrics cannot be served on {settings.host}:{settings.port}: {error.strerror}") from error
    finally:
        await runner.cleanup()


async def run_worker(settings: Settings, agents: Sequence[AgentName]) -> None:
    """Run a worker until SIGTERM or SIGINT; raises StopWorker where nothing can succeed any more."""
    worker = Worker(settings, agents)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()


def configure_logging(*, json: bool = False, level: str = "info", libraries: int = logging.ERROR) -> None:
    """One structured line an event on standard error; the Kafka libraries speak up from the level ``libraries`` on."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    for name in ("aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(libraries)
    # What it says at start about InitProducerId is how the embedded broker is told from Apache Kafka.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([])
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )

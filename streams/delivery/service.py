"""One stage as a running service: a separate faust app with our transport, a producer, an outbox and the runner.

Every agent has its own consumer group, so that agents scale alone, and a rebalance of one, or one at its limit, leaves
the others at work.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterable, Callable, Sequence
from functools import partial
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError

from schemas import NEWEST, WireFormat
from streams.delivery.batch_runner import BatchRunner
from streams.delivery.commit import AtLeastOnce, Committing, ExactlyOnce
from streams.delivery.dispatch import FinishedIds
from streams.delivery.faust_transport import LedgerTransport
from streams.delivery.observer import Observer
from streams.delivery.runner import Runner
from streams.delivery.stage import Delivery, Limits, Record, Stage
from streams.delivery.task_runner import TaskRunner
from streams.delivery.transactions import Transactions
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import answers, refusal
from streams.kafka.outbox import Outbox
from streams.kafka.plain_line import PlainLine
from streams.kafka.producers import start_producer, stop_producer

log = structlog.get_logger(__name__)

#: How often the group is asked for an error that it would not tell.
_GROUP_CHECK_S = 1.0
#: While tickets are held nothing is fetched, for hours maybe. aiokafka would leave the group, and the next member would hold
#: them again; a worker that stalls is the watchdog's business.
_NEVER_S = 10 * 365 * 86_400.0


def runner_type(stage: Stage) -> type[BatchRunner | TaskRunner]:
    """Return the kind of runner that the stage's handler needs."""
    return BatchRunner if stage.computes_only else TaskRunner


class StageService:
    """Runs one stage until it is stopped.

    ``failed`` is called once, with the StopWorker, when nothing can succeed any more.
    """

    def __init__(
        self,
        stage: Stage,
        connection: Connection,
        *,
        prefix: str = "",
        failed: Callable[[StopWorker], None],
        observer: Observer | None = None,
        limits: Limits | None = None,
        delivery: Delivery = "at_least_once",
        wire: WireFormat = NEWEST,
    ) -> None:
        self.stage = stage
        self.error: StopWorker | None = None
        self._failed = failed
        self._prefix = prefix
        self._connection = connection
        self._observer = observer or Observer()
        self._limits = limits or Limits()
        self._delivery = delivery
        self._wire = wire
        self._finished = FinishedIds() if stage.finished is None else stage.finished
        self._line: PlainLine | Transactions | None = None
        self._app: Any = None
        self._runner: Runner | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._watches: list[asyncio.Task[None]] = []
        self._is_paused = False

    @property
    def runner(self) -> Runner:
        """The runner; there is one between start and stop."""
        assert self._runner is not None, "the service is not started"
        return self._runner

    async def start(self) -> None:
        """Connect and join the group; raises StopWorker if the broker cannot be reached or refuses."""
        agent = self.stage.agent
        line = await self._start_line()
        outbox = Outbox(line, self._prefix, lambda reason: self._observer.retried(agent, reason), wire=self._wire)
        self._runner = runner_type(self.stage)(
            self.stage, outbox, stop=self._stop, observer=self._observer, finished=self._finished
        )
        self.pause(self._is_paused)
        committing: Committing = AtLeastOnce(self._limits, calls=not self.stage.computes_only)
        if isinstance(line, Transactions):
            committing = ExactlyOnce(line, self._runner.dispatch, self._limits)
        self._folder = tempfile.TemporaryDirectory(prefix="hedgerow-")
        self._app = self._build(self._runner, committing)
        self._app.finalize()
        self._watches = [asyncio.create_task(self._watch_group())]
        # A start waits for the group, which a user without a right on it never joins.
        starting = asyncio.create_task(self._app.start())
        await asyncio.wait({starting, *self._watches}, return_when=asyncio.FIRST_COMPLETED)
        if self.error is not None:
            starting.cancel()
            await asyncio.wait({starting})
            raise self.error
        await starting
        self._watches.append(asyncio.create_task(self._watch_app()))

    async def stop(self, wait_s: float = 20.0) -> None:
        """Finish what is in progress within ``wait_s`` seconds, commit, leave the group."""
        app, self._app = self._app, None
        if app is None:
            return
        for watch in self._watches:
            watch.cancel()
        self.runner.forget_queued()
        app.consumer.stop_flow()
        if self.error is None:
            await self.runner.wait_idle(wait_s)
        try:
            await app.stop()
        finally:
            if self._line is not None:
                await self._line.stop()
            if self._folder is not None:
                self._folder.cleanup()

    def pause(self, paused: bool) -> None:
        """Read nothing more while ``paused``, which may be said before the start too; what was taken is handled."""
        self._is_paused = paused
        if self._runner is not None:
            self._runner.pause(paused)

    def give_up(self, error: StopWorker) -> None:
        """Fail for a reason that was seen from outside: what is in progress will not be waited for."""
        self._stop(error)

    def _stop(self, error: StopWorker) -> None:
        if self.error is None:
            self.error = error
            self._failed(error)

    async def _start_line(self) -> PlainLine | Transactions:
        if self._delivery == "at_least_once":
            self._line = PlainLine(
                await start_producer(self._connection), partial(start_producer, self._connection), stop_producer
            )
        else:
            start = partial(start_producer, self._connection)
            self._line = Transactions(f"{self._prefix}{self.stage.agent}", start, stop_producer)
            await self._line.begin()
        return self._line

    async def _watch_app(self) -> None:
        """A crash of the faust app is the end of this worker: what is unfinished is handled by the next one."""
        app = self._app
        await app.wait_until_stopped()
        if app.crashed:
            refused = refusal(app.crash_reason, self._connection.security)
            lost = f"the {self.stage.agent} agent lost its broker session: {app.crash_reason!r}"
            self._stop(StopWorker(refused or lost))

    async def _watch_group(self) -> None:
        """A right on the group that is missing is the end of this worker; from other errors the group recovers."""
        consumer = self._app.consumer
        while True:
            await asyncio.sleep(_GROUP_CHECK_S)
            try:
                consumer.check_group()
            except KafkaError as error:
                if refused := refusal(error, self._connection.security):
                    self._stop(StopWorker(refused))
                    return
                log.warning("the group has an error and goes on", agent=self.stage.agent, error=repr(error))

    def _build(self, runner: Runner, committing: Committing) -> faust.App:
        connection, stage = self._connection, self.stage
        assert self._folder is not None
        app = faust.App(
            f"{self._prefix}{stage.agent}",
            broker=f"kafka://{connection.bootstrap.replace(',', ';kafka://')}",
            broker_credentials=_credentials(connection.client_options),
            store="memory://",
            datadir=self._folder.name,
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            key_serializer="raw",
            value_serializer="raw",
            consumer_auto_offset_reset="earliest",
            broker_max_poll_records=5000 if stage.computes_only else max(16, stage.in_flight),
            broker_commit_interval=committing.interval_s(connection.commit_interval_s),
            broker_session_timeout=connection.session_timeout_s,
            broker_heartbeat_interval=connection.heartbeat_s,
            broker_rebalance_timeout=connection.rebalance_timeout_s,
            broker_max_poll_interval=_NEVER_S,
            stream_wait_empty=True,
        )
        app.transport = LedgerTransport(
            app.conf.broker,
            app,
            runner=runner,
            committing=committing,
            limits=self._limits,
            observer=self._observer,
            broker_answers=partial(answers, connection),
        )
        topic = app.topic(self._prefix + stage.topic.name)

        async def agent(stream: Any) -> None:
            batches: AsyncIterable[Sequence[Record]] = stream.noack()
            async for batch in batches:
                await runner.run(batch)

        app.agent(topic, name=stage.agent)(agent)
        return app


def _credentials(options: dict[str, Any]) -> Any:
    """Translate aiokafka's security options into faust's; None for a plain connection."""
    if options.get("security_protocol", "PLAINTEXT") == "PLAINTEXT":
        return None
    context: ssl.SSLContext | None = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )
    return faust.SSLCredentials(context=context)

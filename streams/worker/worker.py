"""Joins agents, models and delivery into a worker process."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import structlog

from schemas import TOPICS, Attempt, Call, Tier
from streams.agents.arrival import Arrival
from streams.agents.classify import ClassifyHandler
from streams.agents.escalate import EscalateHandler
from streams.agents.guards import Aside, Clock, GuardedModel, Guards
from streams.agents.known_tickets import KnownTickets
from streams.agents.limit import Limit
from streams.agents.model import Model
from streams.agents.paid_calls import PaidCalls
from streams.agents.paid_trials import PaidTrials
from streams.agents.perplexity import WithPerplexity
from streams.agents.registry import AGENTS, MESSENGERS, SPENDERS, TIERS, USES, WATCHERS, AgentName
from streams.agents.remembering import Remembering
from streams.agents.review import ReviewHandler
from streams.agents.score import OneByOne, ScoreHandler
from streams.agents.settle import SettleHandler
from streams.agents.spared import SparesReviewers
from streams.agents.tier_model import Recall, TierModel
from streams.agents.tier_zero import RecalledOnce, TierZeroHandler
from streams.agents.trials import MOST_TRIALS
from streams.agents.turns import Turns
from streams.agents.waiting import WaitingModel
from streams.aio import Changes, in_background
from streams.core.fleet import Member
from streams.core.guards.budgets import booked_usd
from streams.core.guards.review_arrivals import ReviewArrivals
from streams.core.guards.review_load import ReviewLoad
from streams.core.signal.perplexity import PerplexityRule
from streams.delivery.known_messages import KnownMessages
from streams.delivery.service import StageService
from streams.delivery.stage import AsyncHandler, Memories, Stage, SyncHandler
from streams.errors import StopWorker
from streams.fleet.link import FleetLink, group_of
from streams.kafka.broker_watch import BrokerWatch
from streams.kafka.history import history
from streams.kafka.lag import records_waiting
from streams.kafka.readers import decode
from streams.kafka.send import open_outbox
from streams.kafka.tail import tail
from streams.models.classifier import ModelClient
from streams.models.contract_check import HARMLESS_TEXT
from streams.models.endpoint import Endpoint
from streams.models.outlook import Outlook
from streams.models.perplexity import PerplexityClient
from streams.models.prices import cost_of
from streams.observability.http import Answer, health, readiness, serve_metrics
from streams.reviews.store import ReviewStore
from streams.settings import Settings
from streams.worker.activity import Activity
from streams.worker.alerting import AlertSender
from streams.worker.following import Followed, following_alerts
from streams.worker.messengers import messenger
from streams.worker.remembering import open_remembering
from streams.worker.review_queue import INTERVAL_S, LIMITED_INTERVAL_S, SHORTEST_INTERVAL_S, Queue, watch_queue
from streams.worker.settling import close_superseded, result_in, results_before
from streams.worker.stages import traffic_source, watcher
from streams.worker.start_checks import start_checks
from streams.worker.watchdog import Watchdog, WatchedObserver


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


log = structlog.get_logger(__name__)


#: A database that restarts is unavailable for longer than a model: with pauses of up to 30 s, these last a quarter of an hour.
_STORE_ATTEMPTS = 36
_LONG_PROMPT_TOKENS = 4_000


def _most_usd(endpoint: Endpoint) -> float:
    """Return what a call is taken to cost until one has come back, USD: a long prompt, and the longest answer."""
    return cost_of(endpoint.price, _LONG_PROMPT_TOKENS, endpoint.max_tokens) or 0.0


class Worker:
    """Runs some of the agents until it is asked to stop or nothing can succeed any more."""

    def __init__(self, settings: Settings, agents: Sequence[AgentName]) -> None:
        given, settings = settings, settings.under_policy()
        if settings is not given:
            log.warning(
                "the policy was fitted without a memory, so no examples are shown: run hedgerow evaluate and hedgerow calibrate"
            )
        self._settings = settings
        self._agents = tuple(dict.fromkeys(agents))
        self._stop = asyncio.Event()
        self._error: StopWorker | None = None
        self._followed = Followed(settings)
        self._clock = Clock(time.monotonic, _wall_ms, self._followed.book)
        self._services: Sequence[StageService] = ()
        self._arrivals = ReviewArrivals(settings.review.max_waiting, settings.review.max_per_hour)
        self._reviews = Limit(
            "reviews", lambda: bool(self._followed.overload) or self._arrivals.are_full, turns=self._turns("big")
        )
        self._watchdog: Watchdog | None = None
        self._contracts: dict[Tier, str] = {}
        self._models: list[WaitingModel] = []
        self.observer = WatchedObserver()
        self._paid_calls = {tier: self._paid_by_others(agent, tier) for agent, tier in TIERS.items()}
        connect = partial(open_outbox, settings.broker.connection, prefix=settings.topics.prefix, wire=settings.wire)
        self._fleet = self._link(settings)
        self._alerts = AlertSender(connect, self.observer.alerted, self._followed.book.is_on_topic, self._fleet.rank)
        self._guards = Guards(
            settings.contracts,
            settings.guards,
            settings.policy.max_escalations_per_hour,
            self._clock,
            Aside(self._alerts.tell, self._tried),
            member=self._fleet.member,
            announce=self._fleet.announce,
            turns_of=self._turns,
        )
        self._stored_one = Changes()
        self._broker = BrokerWatch(settings.broker.connection)
        self.observer.broker(lambda: self._broker.problem is not None)
        self._memory: Remembering | None = None
        self.ready = asyncio.Event()

    def stop(self) -> None:
        """Ask for a graceful end: what is in progress is finished and committed."""
        self._stop.set()

    async def run(self) -> None:
        """Run until ``stop``; raises StopWorker, or SettingsError from a start check, with the line that says why."""
        async with AsyncExitStack() as stack:
            pages = {"/health": self._health, "/ready": self._readiness}
            port = await stack.enter_async_context(serve_metrics(self._settings.metrics, self.observer, pages))
            follow = partial(self._follow, stack)
            join = partial(self._join, stack) if SPENDERS & set(self._agents) else None
            for check in start_checks(self._settings, self._agents, self._contracts, follow, join=join, pay=self._pay):
                found = await check.run()
                if not found.ok:
                    log.warning("a check of the start is not well", check=found.name, problem=found.text)
            await stack.enter_async_context(self._broker.running())
            await stack.enter_async_context(self._alerts.running())
            self._memory = await self._remembering(stack)
            services = self._services = [await self._service(agent, stack) for agent in self._agents]
            await stack.enter_async_context(in_background(self._guards.follow(self._failed)))
            for (thing, period), used in self._guards.used_shares().items():
                self.observer.budget(thing, period, used)
            for limit in self._limits():
                self.observer.limit(limit.name, limit.reached)
            self._apply(self._followed)
            try:
                await asyncio.gather(*(service.start() for service in services))
                self.ready.set()
                await self._watched(services, self._addresses(port, pages))
            finally:
                self.ready.clear()
                await asyncio.gather(*(service.stop(self._settings.worker.stop_wait_s) for service in services))
        if self._error is not None:
            raise self._error

    @staticmethod
    def _link(settings: Settings) -> FleetLink:
        """Return this worker's link to the others, under a name that no other start of a worker has."""
        prefix = settings.topics.prefix
        member = Member(f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}", group_of(prefix), settings.budgets)
        return FleetLink(member, settings.broker.connection, prefix, _wall_ms)

    async def _remembering(self, stack: AsyncExitStack) -> Remembering | None:
        """Return what the memory is asked with; None without a memory, and without a use for it."""
        wanted = self._settings.memory
        if wanted is None or not TIERS.keys() & set(self._agents):
            return None
        return await open_remembering(self._settings, wanted, stack, self.observer, self._failed, self._embedded)

    def _embedded(self, attempts: Sequence[Attempt], estimate_usd: float) -> None:
        """Count requests for embeddings, which belong to several tickets at once; lost ones count as the estimate."""
        self.observer.embedded(attempts)
        self._guards.spent(booked_usd(attempts, estimate_usd))

    async def stopping(self) -> None:
        """Wait until the worker was asked to stop, or found out that it has to."""
        await self._stop.wait()

    def _health(self) -> Answer:
        return health(self._agents, {} if self._watchdog is None else self._watchdog.standings)

    def _readiness(self) -> Answer:
        joined = {agent for agent in self._agents if self._watchdog is not None and self._watchdog.joined(agent)}
        started = self.ready.is_set() and not self._stop.is_set()
        down = [model.source for model in self._models if model.is_down]
        return readiness(
            self._agents,
            joined,
            self.observer.partitions,
            self._contracts,
            broker=self._broker.problem,
            started=started,
            down=down,
            limits=[limit.name for limit in self._limits() if limit.reached()],
            paused=self._paused(),
        )

    async def _follow(self, stack: AsyncExitStack) -> Followed:
        """Read the alerts, and follow them to the end of this worker."""
        following = following_alerts(self._settings, self._failed, self._apply, self._followed)
        self._followed = await stack.enter_async_context(following)
        return self._followed

    async def _join(self, stack: AsyncExitStack) -> int:
        """Tell the other workers of this one to its end, and follow what they say; return how many are live."""
        await stack.enter_async_context(self._fleet.running(required=self._settings.has_budgets, failed=self._failed))
        return self._fleet.member.workers(_wall_ms()) - 1

    async def _pay(self, tier: Tier, ask: Callable[[], Awaitable[Call]]) -> Call | None:
        """Ask a tier with a fixed text, out of the money that is left; None if it is spent."""
        return await self._guards.paid(tier, _most_usd(self._settings.tiers.of(tier)), len(HARMLESS_TEXT), ask)

    def _apply(self, followed: Followed) -> None:
        """Act on what the alerts have told."""
        for tier, stale in followed.stale.items():
            if self._settings.probed_names(tier):
                self.observer.policy_stale(tier, bool(stale))
        for service in self._services:
            agent = service.stage.agent
            paused = agent in self._paused()
            service.pause(paused)
            self.observer.paused(agent, paused)

    def _turns(self, tier: Tier) -> Turns:
        """Return what tickets for a tier go on by after a limit."""
        return Turns(self._settings.tiers.of(tier).outage.resume_per_s, self._clock.now)

    def _limits(self) -> list[Limit]:
        """Return every limit that the settings have."""
        reviews = [self._reviews] if self._settings.review.is_limited else []
        return [*self._guards.limits, *reviews, *([] if self._memory is None else self._memory.limits)]

    def _paused(self) -> dict[str, str]:
        """Return the agents that are paused, by whom and why."""
        pauses = {agent: self._followed.pauses.of(TIERS.get(agent)) for agent in self._agents if agent in AGENTS}
        return {agent: pause.summary for agent, pause in pauses.items() if pause is not None}

    def _addresses(self, port: int | None, pages: Iterable[str]) -> dict[str, str]:
        """Return where the broker is, and this worker's pages if they are served."""
        found = {"broker": self._settings.broker.bootstrap}
        if port is not None:
            for page in ("/metrics", *pages):
                found[page.strip("/")] = f"http://{self._settings.metrics.host}:{port}{page}"
        return found

    async def _watched(self, services: Sequence[StageService], addresses: Mapping[str, str]) -> None:
        """Wait for the stop, with the watchdog at work and a line a minute in the log."""
        connection, limit_s = self._settings.broker.connection, self._settings.worker.stalled_after_s
        self._watchdog = Watchdog(services, self.observer, limit_s, partial(records_waiting, connection))
        activity = Activity(self._agents, self._watchdog.partitions, self.observer.totals, addresses)
        reporting = asyncio.create_task(activity.run(self.observer.rebalances.next))
        watching = asyncio.create_task(self._watchdog.run())
        stop = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait({watching, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reporting.cancel()
            watching.cancel()
            stop.cancel()
        if watching in done:
            watching.result()

    def _failed(self, error: StopWorker) -> None:
        self._error = self._error or error
        self._stop.set()

    async def _service(self, agent: AgentName, stack: AsyncExitStack) -> StageService:
        settings = self._settings
        if agent in WATCHERS:
            source = traffic_source(settings)
            stage = watcher(
                agent,
                settings,
                self.observer.probed,
                self.observer.replayed,
                lambda: self._followed.traffic.last_ms(source),
            )
        elif agent in MESSENGERS:
            stage = await messenger(agent, settings, stack, self.observer.webhook_sent, _wall_ms)
        elif agent == "settle":
            stage = await self._settling(stack)
        else:
            stage = Stage(
                agent=agent,
                topic=TOPICS[USES[agent].reads],
                handler=self._sparing(agent, await self._handler(agent, stack)),
                in_flight=settings.worker.in_flight,
                deadline_s=settings.worker.handler_deadline_s,
                attempts=_STORE_ATTEMPTS if agent == "review" else settings.worker.handler_attempts,
                resume_per_s=settings.tiers.of(TIERS[agent]).outage.resume_per_s if agent in TIERS else None,
            )
            if agent == "classify":
                stage = self._with_known_tickets(stage)
            elif agent == "escalate":
                known = KnownMessages(stage.topic, partial(history, settings.broker.connection))
                memory = Memories((known, self._paid_calls["big"]))
                stage = replace(stage, read=known.read, finished=known, memory=memory)
        return StageService(
            stage,
            settings.broker.connection,
            prefix=settings.topics.prefix,
            failed=self._failed,
            observer=self.observer,
            limits=settings.worker.limits,
            delivery=settings.delivery,
            wire=settings.wire,
        )

    def _with_known_tickets(self, stage: Stage) -> Stage:
        """Return classify's stage, which knows tickets again by their text; others know messages by key and turn."""
        settings = self._settings
        known = KnownTickets(settings.worker.remember_ids, partial(history, settings.broker.connection))
        memory = Memories((known, self._paid_calls["cheap"]))
        return replace(stage, read=Arrival.read, finished=known, id_of=known.id_of, memory=memory)

    def _paid_by_others(self, agent: AgentName, tier: Tier) -> PaidCalls:
        """Return what finds the calls of a tier that another worker had paid for, and did not live to commit."""
        settings, prefix = self._settings, self._settings.topics.prefix
        return PaidCalls(
            tier,
            settings.tiers.of(tier).model,
            settings.prompt.hash,
            partial(
                tail,
                USES[agent].calls_on,
                settings.broker.connection,
                prefix=prefix,
                committed=settings.delivery == "at_least_once",
            ),
            partial(decode, prefix=prefix),
            partial(self.observer.taken_over, tier),
        )

    def _sparing(self, agent: AgentName, handler: AsyncHandler | SyncHandler) -> AsyncHandler | SyncHandler:
        """Return the handler, whose reviews wait while there are too many if there are limits."""
        if self._settings.review.is_limited and "reviews" in USES[agent].writes:
            return SparesReviewers(handler, self._reviews, self._passed)
        return handler

    async def _settling(self, stack: AsyncExitStack) -> Stage:
        """Return settle's stage; alongside it, reviews are closed whose ticket has a later result."""
        settings = self._settings
        handler = SettleHandler(settings.worker.remember_ids, results_before(settings.broker.connection))
        store = ReviewStore(settings.review.url, labels=settings.labels, wire=settings.wire)
        stack.callback(store.close)
        await stack.enter_async_context(in_background(close_superseded(store, handler.turn_of)))
        return Stage("settle", TOPICS[USES["settle"].reads], handler, once=False, read=result_in, memory=handler)

    async def _handler(self, agent: AgentName, stack: AsyncExitStack) -> AsyncHandler | SyncHandler:
        settings, guards, policy = self._settings, self._guards, self._settings.policy
        label_count = len(settings.labels)
        if agent == "classify":
            outlook = Outlook()
            once = None if self._memory is None or policy.memory is None else RecalledOnce(self._memory.recall)
            model = await self._with_perplexity(await self._client("cheap", outlook, stack, once), stack)
            cheap = await self._guarded(self._waiting(model, outlook, stack), stack)
            outage = settings.tiers.cheap.outage.mode
            paid = self._paid_calls["cheap"].take
            classify = ClassifyHandler(cheap.ask, guards.escalates, policy, label_count, outage=outage, paid=paid)
            return classify if once is None else TierZeroHandler(classify, once, policy, self._clock.wall_ms)
        if agent == "score":
            check = guards.decisions("cheap", settings.tiers.cheap.model).check
            score = ScoreHandler(policy, label_count, check=check, stale=partial(bool, self._followed.stale["cheap"]))
            return score if policy.max_escalations_per_hour is None else OneByOne(score, guards.may_escalate)
        if agent == "escalate":
            outlook = Outlook()
            model = self._waiting(await self._client("big", outlook, stack), outlook, stack)
            big = await self._guarded(model, stack)
            return EscalateHandler(
                big.ask,
                policy,
                label_count,
                check=guards.decisions("big", settings.tiers.big.model).check,
                stale=partial(bool, self._followed.stale["big"]),
                paid=self._paid_calls["big"].take,
            )
        store = ReviewStore(settings.review.url, labels=settings.labels, wire=settings.wire)
        stack.callback(store.close)
        interval_s = LIMITED_INTERVAL_S if settings.review.is_limited else INTERVAL_S
        load = ReviewLoad(settings.review.max_waiting, settings.review.max_per_hour)
        watching = watch_queue(
            store,
            partial(self._see, load),
            counting=lambda: self._arrivals.counting(self._clock.now()),
            interval_s=interval_s,
            sleep=self._until_counting,
        )
        await stack.enter_async_context(in_background(watching))
        return ReviewHandler(store, self._stored)

    def _passed(self, review_ids: Collection[str]) -> None:
        """Take that reviews are on their way to the queue."""
        self._arrivals.passed(review_ids, self._clock.now())

    def _stored(self, review_id: str) -> None:
        """Take that a review was stored, which may be the last one for now."""
        self._arrivals.stored(review_id)
        self._stored_one.note()

    async def _until_counting(self, interval_s: float) -> None:
        """Wait until the queue is to be counted again: sooner than usual if all workers may have to hear of it."""
        await asyncio.sleep(SHORTEST_INTERVAL_S)
        await self._stored_one.until(
            lambda: self._arrivals.are_full and not self._followed.overload, interval_s - SHORTEST_INTERVAL_S
        )

    def _see(self, load: ReviewLoad, queue: Queue) -> None:
        """Show the queue of reviews, and tell all workers if it is too long, or no longer."""
        self.observer.review_queue(queue.counts, queue.oldest_s, queue.hour.decided)
        self._arrivals.counted(queue.counts.waiting, queue.hour.added)
        found = load.judge(queue.counts.waiting, queue.hour.added, overloaded=bool(self._followed.overload))
        for alert in () if found is None else self._clock.alerts([found]):
            self._alerts.tell(alert)

    def _waiting(self, model: Model, outlook: Outlook, stack: AsyncExitStack) -> WaitingModel:
        """Return the model, whose tickets wait while its endpoint does not answer."""
        tier = self._settings.tiers.of(model.tier)
        # Trials that hang must leave room for tickets.
        most = max(1, min(MOST_TRIALS, tier.concurrency // 2))
        waiting = WaitingModel(
            model,
            tier.outage,
            self._clock,
            self._alerts.tell,
            self._tried,
            outlook,
            most_trials=most,
            others=partial(self._guards.others, model.tier, model.model_asked),
        )
        stack.push_async_callback(waiting.close)
        self.observer.endpoint(waiting.source, lambda: waiting.is_down)
        self._models.append(waiting)
        return waiting

    async def _guarded(self, model: WaitingModel, stack: AsyncExitStack) -> GuardedModel:
        """Return the model behind its guards, which follow those of the other workers."""
        most_usd = _most_usd(self._settings.tiers.of(model.tier))
        guarded = self._guards.guarded(model, first_usd=most_usd, is_down=lambda: model.is_down)
        await stack.enter_async_context(in_background(model.follow(self._failed)))
        self.observer.breaker(guarded.source, lambda: guarded.is_open)
        return guarded

    def _tried(self, call: Call) -> None:
        """Count a trial of an endpoint, which belongs to no ticket."""
        self.observer.tried(call)

    async def _with_perplexity(self, model: Model, stack: AsyncExitStack) -> Model:
        """Return the model, with the question for the perplexity alongside if an endpoint for that is set."""
        settings = self._settings
        if settings.perplexity is None:
            return model
        rule = settings.policy.perplexity or PerplexityRule()
        client = await stack.enter_async_context(PerplexityClient(settings.perplexity, rule, redact=settings.redact))
        return WithPerplexity(model, client.measure)

    async def _client(self, tier: Tier, outlook: Outlook, stack: AsyncExitStack, recall: Recall | None = None) -> Model:
        """Return a tier's client, which is asked with what the memory says of a ticket."""
        settings = self._settings
        endpoint = settings.tiers.of(tier)
        client = ModelClient(tier, endpoint, settings.label_set, prompt=settings.prompt, outlook=outlook)
        await stack.enter_async_context(client)
        model = TierModel(client, recall or (None if self._memory is None else self._memory.recall))
        return PaidTrials(model, partial(self._pay, tier))

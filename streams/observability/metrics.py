"""Prometheus metrics, read from what delivery reports and from the messages that go out. No agent knows of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas import Alert, Attempt, Call, Classification, DeadLetter, Escalation, Message, Review, Routed, Scored, Tier
from streams.core.policy.reasons import DecisionReason
from streams.delivery.observer import Observer
from streams.observability.liveness import Standing, State

if TYPE_CHECKING:
    from streams.reviews.store import Counts as ReviewCounts

_PROBABILITY = (0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
_NATS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
#: The escalation share is taken over this many decisions on cheap answers.
_SHARE_WINDOW = 500
_EXCEPTION = DecisionReason.EXCEPTION.of("")


@dataclass(frozen=True, slots=True)
class Totals:
    """What a worker has counted since its start, or between two moments; false if nothing was."""

    handled: Mapping[str, int]
    """Finished messages by agent."""
    routed: int
    escalated: int
    to_review: int
    dead_letters: int
    model_calls: int
    """Requests to model APIs, repeated ones too."""
    cost_usd: float
    lag: int | None
    """Messages behind the last commits, of all agents together, at the later moment; None before the first commit."""

    def __sub__(self, before: Self) -> Totals:
        """Return what was counted since ``before``."""
        return Totals(
            {agent: count - before.handled.get(agent, 0) for agent, count in self.handled.items()},
            self.routed - before.routed,
            self.escalated - before.escalated,
            self.to_review - before.to_review,
            self.dead_letters - before.dead_letters,
            self.model_calls - before.model_calls,
            self.cost_usd - before.cost_usd,
            self.lag,
        )

    def __bool__(self) -> bool:
        counts = (self.routed, self.escalated, self.to_review, self.dead_letters, self.model_calls)
        return any(counts) or any(self.handled.values())


class MetricsObserver(Observer):
    """Counts into one registry, for all agents of a worker."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._recent: deque[bool] = deque()
        self._escalated_of_recent = 0
        # Looking a metric's labels up takes longer than counting: they are few, so each is looked up once.
        self._children: dict[tuple[object, ...], Any] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"hedgerow_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"hedgerow_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"hedgerow_{name}", text, labels, buckets=buckets, registry=self.registry)

        self._tickets = counter("tickets_total", "Tickets by route: memory, cheap, big, escalated, review", "route")
        self._reasons = counter("reasons_total", "Why answers were not enough", "route", "reason")
        self._confidence = histogram("confidence", "Confidence of scored answers", _PROBABILITY, "tier")
        self._entropy = histogram("entropy_nats", "Entropy of scored answers", _NATS, "tier")
        self._calls = counter("model_attempts_total", "Requests to model APIs", "tier", "outcome")
        self._latency = histogram("model_latency_seconds", "Time of one request to a model API", _SECONDS, "tier")
        self._cost = counter("model_cost_usd_total", "What requests to model APIs cost, USD", "tier")
        self._unpriced = counter(
            "model_attempts_unpriced_total", "Requests to model APIs of unknown cost: the model has no price", "tier"
        )
        self._share = gauge(
            "escalation_share", f"Share of the last {_SHARE_WINDOW} cheap answers that were escalated", "agent"
        )
        self._handled = histogram(
            "handling_seconds", "From taking a message to its outputs at the broker", _SECONDS, "agent"
        )
        self._dead = counter("dead_letters_total", "Messages that could not be handled", "agent", "reason")
        self._retried = counter("retries_total", "Handler calls and sends that were tried again", "agent", "reason")
        self._skipped = counter("skipped_total", "Messages finished without a handler call", "agent", "why")
        self._in_flight = gauge("in_flight", "Messages in progress", "agent")
        self._queued = gauge("queued", "Messages taken and waiting", "agent")
        self._lag = gauge(
            "consumer_lag", "Messages from the committed offset to the end", "agent", "topic", "partition"
        )
        self._rebalances = counter("rebalances_total", "Rebalances", "agent")
        self._alerts = counter(
            "alerts_total", "Alerts raised by this worker's guards and watching agents", "source", "kind"
        )
        self._breaker = gauge(
            "breaker_open", "1 while an endpoint is held back since it broke its contract", "endpoint"
        )
        self._down = gauge("endpoint_down", "1 while an endpoint does not answer", "endpoint")
        self._webhooks = counter(
            "webhooks_total", "Messages to webhooks: ok, refused, unavailable", "webhook", "outcome"
        )
        self._broker_down = gauge("broker_down", "1 while the broker does not answer this process")
        self._limit = gauge(
            "limit_reached",
            "1 while a limit stands: contract:TIER (its breaker is open), spend, escalations, reviews, memory, embedding",
            "limit",
        )
        self._budget = gauge(
            "budget_used_share",
            "Share of a limit that all workers together have used, leases included; what: money, escalations",
            "what",
            "period",
        )
        self._paused = gauge("paused", "1 while an operator has paused the agent", "agent")
        self._held = gauge("held", "Messages that wait for an endpoint or for the end of a limit", "agent")
        self._excused = counter(
            "exception_accepts_total", "Answers accepted without a signal, by written exception", "exception"
        )
        self._probed = counter(
            "probes_seen_total",
            "Probes read by the drift agent: sample, repeated, or why they are none",
            "endpoint",
            "what",
        )
        self._stale = gauge("policy_stale", "1 from a change of a tier's model until it is acknowledged", "tier")
        self._quiet = gauge(
            "without_progress_seconds", "How long there has been work and no sign of life; 0 if all is well", "agent"
        )
        self._stalled = gauge("stalled", "1 once an agent stalls, and its worker is about to end", "agent")
        self._over_budget = counter("over_budget_total", "Tickets in review because the hour's escalations are used up")
        self._reviews = gauge("reviews_waiting", "Reviews that wait in the review store for a decision", "agent")
        self._reviewed = gauge(
            "reviews_decided",
            "Decided reviews in the review store, by what was said: label, none_of_these",
            "agent",
            "said",
        )
        self._review_rate = gauge(
            "review_decisions_per_hour", "Reviews that were decided within the last hour", "agent"
        )
        self._rewritten = counter(
            "results_rewritten_total",
            "Results written again, because one that counts less was written after them",
            "agent",
        )
        self._oldest = gauge(
            "review_oldest_seconds", "How long the oldest of the waiting reviews has waited; 0 if none waits", "agent"
        )

        self._examples = gauge("memory_examples", "Labelled tickets in this worker's memory", "embedding_model")
        self._memory_records = counter(
            "memory_records_total",
            "Records of the topic memory: added, forgotten, dropped for want of room, invalid, other_model",
            "what",
        )
        self._taken_over = counter(
            "calls_taken_over_total", "Calls that an earlier worker paid for and had not committed", "tier"
        )
        self._lookups = counter(
            "memory_lookups_total", "Tickets recalled: embedded, carried on from classify, or nothing was known", "how"
        )

    def handled(self, agent: str, outputs: Sequence[Message], seconds: float) -> None:
        """Count what went out."""
        self._of(self._handled, agent).observe(seconds)
        if agent == "settle":
            self._of(self._rewritten, agent).inc(len(outputs))
            return  # the tickets ended before
        for output in outputs:
            if isinstance(output, Classification):
                self._call(output.call)
            elif isinstance(output, Escalation):
                self._route("escalated", output.reasons)
                self._escalated(agent, True)
            elif isinstance(output, Routed):
                self._route(output.decided_by, output.reasons)
                self._decided(agent, output.calls)
            elif isinstance(output, Review):
                self._route("review", output.reasons)
                self._decided(agent, output.calls)
                self._over_budget.inc(DecisionReason.ESCALATION_BUDGET in output.reasons)
            elif isinstance(output, Alert):
                self._alert(output)

    def probed(self, endpoint: str, what: str) -> None:
        """Count a probe that the drift agent has read."""
        self._probed.labels(endpoint, what).inc()

    def policy_stale(self, tier: str, stale: bool) -> None:
        """Set whether a tier's model is not the one that the policy was made for."""
        self._stale.labels(tier).set(stale)

    def standing(self, agent: str, standing: Standing) -> None:
        """Set how an agent stands, as the watchdog saw it."""
        self._quiet.labels(agent).set(standing.quiet_s)
        self._stalled.labels(agent).set(standing.state is State.STALLED)

    def review_queue(self, counts: ReviewCounts, oldest_s: float, decided_in_hour: int) -> None:
        """Set how many reviews wait and are decided, and for how long the oldest of the waiting ones has (seconds)."""
        self._review_rate.labels("review").set(decided_in_hour)
        # Labelled, so that only workers that look at the queue say anything about it.
        self._reviews.labels("review").set(counts.waiting)
        self._reviewed.labels("review", "label").set(counts.decided - counts.none_of_these)
        self._reviewed.labels("review", "none_of_these").set(counts.none_of_these)
        self._oldest.labels("review").set(oldest_s)

    def dead_lettered(self, agent: str, letter: DeadLetter) -> None:
        """Count a dead letter by its reason."""
        self._dead.labels(agent, letter.reason).inc()

    def retried(self, agent: str, reason: str) -> None:
        """Count a retry."""
        self._retried.labels(agent, reason).inc()

    def skipped(self, agent: str, why: str, count: int) -> None:
        """Count messages that needed no handler call."""
        self._skipped.labels(agent, why).inc(count)

    def limit(self, name: str, reached: Callable[[], bool]) -> None:
        """Show from now on whether a limit stands."""
        self._limit.labels(name).set_function(lambda: float(reached()))

    def budget(self, what: str, period: str, used: Callable[[], float]) -> None:
        """Show from now on what share of a limit is used."""
        self._budget.labels(what, period).set_function(used)

    def paused(self, agent: str, paused: bool) -> None:
        """Set the gauge."""
        self._of(self._paused, agent).set(paused)

    def held(self, agent: str, count: int) -> None:
        """Set the gauge."""
        self._of(self._held, agent).set(count)

    def in_flight(self, agent: str, count: int, queued: int) -> None:
        """Set the gauges."""
        self._of(self._in_flight, agent).set(count)
        self._of(self._queued, agent).set(queued)

    def committed(self, agent: str, topic: str, partition: int, offset: int, lag: int) -> None:
        """Set the lag."""
        del offset
        self._lag.labels(agent, topic, str(partition)).set(lag)

    def rebalanced(self, agent: str, partitions: int, seconds: float) -> None:
        """Count a rebalance, and forget the lag of every partition: the next commit sets it for those that are ours."""
        del partitions, seconds
        self._rebalances.labels(agent).inc()
        self._lag.remove_by_labels({"agent": agent})

    def totals(self) -> Totals:
        """Return what was counted so far; it walks over the metrics, so call it now and then, not for each message."""
        routes = _values(self._tickets, "_total", "route")
        lags = _values(self._lag, "", "agent")
        return Totals(
            handled={agent: int(count) for agent, count in _values(self._handled, "_count", "agent").items()},
            routed=int(sum(count for route, count in routes.items() if route not in {"escalated", "review"})),
            escalated=int(routes.get("escalated", 0)),
            to_review=int(routes.get("review", 0)),
            dead_letters=int(sum(_values(self._dead, "_total", "agent").values())),
            model_calls=int(sum(_values(self._calls, "_total", "tier").values())),
            cost_usd=sum(_values(self._cost, "_total", "tier").values()),
            lag=int(sum(lags.values())) if lags else None,
        )

    def alerted(self, alert: Alert) -> None:
        """Count an alert that belongs to no message."""
        self._alert(alert)

    def tried(self, call: Call) -> None:
        """Count a trial of an endpoint that did not answer: requests and cost, of which no message tells."""
        self._attempts(call.tier, call.attempts)

    def taken_over(self, tier: Tier) -> None:
        """Count a call that was not made again, since an earlier worker had paid for it."""
        self._of(self._taken_over, tier).inc()

    def embedded(self, attempts: Sequence[Attempt]) -> None:
        """Count requests for embeddings."""
        self._attempts("embedding", attempts)

    def memory(self, embedding_model: str, size: Callable[[], int]) -> None:
        """Show from now on how many examples the memory has."""
        self._examples.labels(embedding_model).set_function(size)

    def memory_changed(self, what: str, count: int) -> None:
        """Count records of the topic memory by what became of them."""
        self._memory_records.labels(what).inc(count)

    def looked_up(self, how: str) -> None:
        """Count a ticket that was looked up in the memory."""
        self._of(self._lookups, how).inc()

    def webhook_sent(self, webhook: str, outcome: str) -> None:
        """Count one message to a webhook: ok, refused or unavailable."""
        self._webhooks.labels(webhook, outcome).inc()

    def broker(self, is_down: Callable[[], bool]) -> None:
        """Show from now on whether the broker is unavailable."""
        self._broker_down.set_function(lambda: float(is_down()))

    def endpoint(self, source: str, is_down: Callable[[], bool]) -> None:
        """Show from now on whether an endpoint is taken to be unavailable."""
        self._down.labels(source).set_function(lambda: float(is_down()))

    def breaker(self, source: str, is_open: Callable[[], bool]) -> None:
        """Show from now on whether the breaker of an endpoint is open."""
        self._breaker.labels(source).set_function(lambda: float(is_open()))

    def _of(self, metric: Any, *labels: str) -> Any:
        """Return the metric's child of these labels; not for one whose children are removed."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def _route(self, route: str, reasons: Sequence[str]) -> None:
        self._of(self._tickets, route).inc()
        for reason in reasons:
            self._of(self._reasons, route, reason).inc()
            if reason.startswith(_EXCEPTION):
                self._excused.labels(reason.removeprefix(_EXCEPTION)).inc()

    def _alert(self, alert: Alert) -> None:
        self._alerts.labels(alert.source, alert.kind).inc()

    def _decided(self, agent: str, calls: Sequence[Call]) -> None:
        """The cheap call was counted when it was made; only a decision without a big call is about the cheap answer."""
        if calls and calls[-1].tier == "big":
            self._call(calls[-1])
        else:
            self._escalated(agent, False)

    def _escalated(self, agent: str, escalated: bool) -> None:
        self._recent.append(escalated)
        self._escalated_of_recent += escalated
        if len(self._recent) > _SHARE_WINDOW:
            self._escalated_of_recent -= self._recent.popleft()
        self._of(self._share, agent).set(self._escalated_of_recent / len(self._recent))

    def _attempts(self, asked: str, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._of(self._calls, asked, attempt.outcome).inc()
            self._of(self._latency, asked).observe(attempt.latency_ms / 1000)
            if attempt.cost_usd is None:
                self._of(self._unpriced, asked).inc()
            else:
                self._of(self._cost, asked).inc(attempt.cost_usd)

    def _call(self, call: Call) -> None:
        self._attempts(call.tier, call.attempts)
        if call.perplexity is not None:
            self._attempts("perplexity", call.perplexity.attempts)
        if isinstance(call.signal, Scored):
            self._of(self._confidence, call.tier).observe(call.signal.confidence)
            self._of(self._entropy, call.tier).observe(call.signal.entropy)


def _values(metric: Any, suffix: str, label: str) -> dict[str, float]:
    """Return the sums of a metric's samples with this suffix, by one of their labels."""
    sums: dict[str, float] = {}
    for family in metric.collect():
        for sample in family.samples:
            if sample.name == family.name + suffix:
                sums[sample.labels[label]] = sums.get(sample.labels[label], 0) + sample.value
    return sums

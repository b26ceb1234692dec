"""A limit under a running worker whose tickets wait at it: nothing more is escalated, and nobody is bothered."""

from __future__ import annotations

from pathlib import Path

from schemas import Alert, Review, Ticket
from streams.core.policy.policy import CheapRule, Policy
from streams.kafka.readers import decode, reader, to_the_end
from streams.kafka.send import publish
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO
from streams.settings import Settings
from tests.support.pipelines import Pipeline, pipeline
from tests.support.watchers import until

TICKETS = [Ticket.decode(line) for line in DEMO.read_bytes().splitlines() if line.strip()][:10]
MOST = 3


def patient(settings: Settings) -> Settings:
    return settings.model_copy(update={"guards": settings.guards.model_copy(update={"on_limit": "hold"})})


async def test_tickets_beyond_the_escalations_of_an_hour_wait(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    doubts_everything = Policy(
        cheap=CheapRule(min_confidence=1.0, min_confidence_two_labels=1.0), max_escalations_per_hour=MOST
    )
    async with pipeline(broker, model_server, tmp_path, policy=doubts_everything, change=patient) as run:
        await publish(TICKETS, run.settings.broker.connection, prefix=run.settings.topics.prefix)
        held = {"agent": "score"}
        registry = run.worker.observer.registry
        await until(lambda: registry.get_sample_value("hedgerow_held", held) == len(TICKETS) - MOST)
        await run.until(lambda: len(run.results) == MOST)
        reviews = [end for ends in run.results.values() for end in ends if isinstance(end, Review)]
        assert not [review for review in reviews if "escalation_budget" in str(review.reasons)]
        assert registry.get_sample_value("hedgerow_limit_reached", {"limit": "escalations"}) == 1
        assert run.worker._readiness().facts["limits"] == ["escalations"]


async def test_tickets_for_reviewers_wait_while_there_are_too_many(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    def limited(settings: Settings) -> Settings:
        return settings.model_copy(update={"review": settings.review.model_copy(update={"max_waiting": 4})})

    everything = Policy(cheap=CheapRule(abstain_entropy=0.0))
    async with pipeline(broker, model_server, tmp_path, policy=everything, change=limited) as run:
        connection, prefix = run.settings.broker.connection, run.settings.topics.prefix
        registry = run.worker.observer.registry
        await publish(TICKETS[:4], connection, prefix=prefix)
        await until(lambda: registry.get_sample_value("hedgerow_limit_reached", {"limit": "reviews"}) == 1)
        await publish(TICKETS[4:], connection, prefix=prefix)
        held = len(TICKETS) - 4
        await until(lambda: registry.get_sample_value("hedgerow_held", {"agent": "score"}) == held)
        assert run.worker._readiness().facts["limits"] == ["reviews"]
        told = {"source": "reviews", "kind": "review_overload"}
        await until(lambda: registry.get_sample_value("hedgerow_alerts_total", told) == 1)
        store = ReviewStore(run.settings.review.url)
        most = 0

        def decided() -> int:
            nonlocal most
            waiting = store.waiting(len(TICKETS))
            most = max(most, len(waiting))
            for item in waiting:
                store.decide(item.review.review_id, model_server.labels[0], "ann", "", 1)
            return store.counts().decided

        await until(lambda: decided() == len(TICKETS))
        assert most <= 4
        alerts = [alert for alert in await said(run) if alert.source == "reviews"]
        assert [alert.kind for alert in alerts[:2]] == ["review_overload", "recovered"]
        store.close()


async def said(run: Pipeline) -> list[Alert]:
    """Return what is on the alerts topic."""
    prefix, found = run.settings.topics.prefix, []
    async with reader(("alerts",), run.settings.broker.connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            if isinstance(message := decode(record, prefix), Alert):
                found.append(message)
    return found

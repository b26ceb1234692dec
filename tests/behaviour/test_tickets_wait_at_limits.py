"""A limit under a running worker whose tickets wait at it: nothing more is escalated, and nobody is bothered."""

from __future__ import annotations

from pathlib import Path

from schemas import Review, Ticket
from streams.core.policy.policy import CheapRule, Policy
from streams.kafka.send import publish
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO
from streams.settings import Settings
from tests.support.pipelines import pipeline
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

"""Model endpoints that do not answer under a running worker: tickets wait, and nobody is bothered with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from schemas import Alert, Review, Ticket
from streams.kafka.readers import decode, reader
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO
from streams.settings import OutageRule, Settings
from tests.support.pipelines import PATIENCE_S, Pipeline, pipeline, raw_producer

TICKETS = [Ticket.decode(line) for line in DEMO.read_bytes().splitlines() if line.strip()][:40]
FAULTS = ("rate_limit", "server_error", "hang", "cheap:server_error", "big:server_error")


def impatient(settings: Settings, mode: str = "hold") -> Settings:
    """Return settings whose endpoints are given up soon."""
    tiers = settings.tiers
    limits = {"timeout_s": 2.0, "deadline_s": 8.0, "attempts": 2, "concurrency": 16}
    return settings.model_copy(
        update={
            "tiers": tiers.model_copy(
                update={
                    "cheap": tiers.cheap.model_copy(update={**limits, "outage": OutageRule(mode=mode)}),
                    "big": tiers.big.model_copy(update=limits),
                }
            )
        }
    )


async def alerts(run: Pipeline) -> list[Alert]:
    """Return what is on the alerts topic."""
    prefix, found = run.settings.topics.prefix, []
    async with reader(("alerts",), run.settings.broker.connection, prefix=prefix) as consumer:
        for records in (await consumer.getmany(timeout_ms=3000)).values():
            found += [message for record in records if isinstance(message := decode(record, prefix), Alert)]
    return found


async def told(run: Pipeline, kind: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while kind not in [alert.kind for alert in await alerts(run)]:
            pass


@pytest.fixture
async def models(model_server: ModelServer) -> ModelServer:
    await model_server.set_faults([])
    return model_server


@pytest.mark.parametrize("fault", FAULTS)
async def test_tickets_wait_for_an_endpoint_that_does_not_answer(
    broker: Broker, models: ModelServer, tmp_path: Path, fault: str
) -> None:
    async with pipeline(broker, models, tmp_path, change=impatient) as run, raw_producer(run.settings) as producer:
        await models.set_faults([f"{fault}=1"])
        for ticket in TICKETS:
            await run.send(ticket.ticket_id, ticket.encode(), ticket.ticket_id.encode(), producer)
        await told(run, "endpoint_down")
        await models.set_faults([])
        await run.until(lambda: len(run.results) == len(TICKETS))
        assert all(len(results) == 1 for results in run.results.values())
        ends = [results[0] for results in run.results.values()]
        assert not [end for end in ends if any("no_answer" in reason for reason in end.reasons)]
        kinds = [(alert.source, alert.kind) for alert in await alerts(run)]
        for source in {source for source, _ in kinds}:
            assert [kind for each, kind in kinds if each == source] == ["endpoint_down", "recovered"]


async def test_in_review_mode_tickets_go_to_a_reviewer_while_the_cheap_endpoint_is_down(
    broker: Broker, models: ModelServer, tmp_path: Path
) -> None:
    def change(settings: Settings) -> Settings:
        return impatient(settings, "review")

    async with pipeline(broker, models, tmp_path, change=change) as run, raw_producer(run.settings) as producer:
        await models.set_faults(["cheap:server_error=1"])
        for ticket in TICKETS[:10]:
            await run.send(ticket.ticket_id, ticket.encode(), ticket.ticket_id.encode(), producer)
        await run.until(lambda: len(run.results) == 10)
        ends = [results[0] for results in run.results.values()]
        assert all(isinstance(end, Review) and end.reasons == ("outage",) for end in ends)
        cheap = [alert.kind for alert in await alerts(run) if alert.source.startswith("cheap:")]
        assert cheap == ["endpoint_down"]
    await models.set_faults([])

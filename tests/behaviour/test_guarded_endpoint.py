"""A real model server with every logprob fault, in front of the guarded handlers: outage and change told apart, spend held."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from schemas import Alert, Classification, Escalation, Message, Review, Routed, Scored, Ticket, Tier, Turn
from streams.agents.arrival import Arrival
from streams.agents.classify import ClassifyHandler
from streams.agents.escalate import EscalateHandler
from streams.agents.guards import Clock, Guards
from streams.agents.score import OneByOne, ScoreHandler
from streams.agents.tier_model import TierModel
from streams.core.guards import GuardLimits
from streams.core.guards.contract import Contracts
from streams.core.policy.policy import Policy
from streams.core.signal.labels import LabelSet
from streams.demo.contracts import sandbox_contract
from streams.models.classifier import ModelClient
from streams.models.endpoint import Endpoint
from streams.sandbox.model_server.faults import FaultName
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO

#: Each fault of the sandbox that takes the signal or its source away, and the breach that it is.
FAULTS = {
    "logprobs_null": "logprobs_null",
    "logprobs_absent": "logprobs_absent",
    "logprobs_empty": "logprobs_empty",
    "top_logprobs_empty": "no_alternatives",
    "truncated_k": "k_below_minimum",
    "positive_logprob": "impossible_logprob",
    "nan_logprob": "floor_logprob",
}
TIERS: tuple[Tier, ...] = ("cheap", "big")
MOST = 40
LIMITS = GuardLimits(trial_every_s=3600.0)
IN_FLIGHT = 16


@dataclass
class Pipeline:
    """The three handlers in a row, a ticket at a time through all of them, with what they said."""

    classify: ClassifyHandler = field(init=False)
    score: OneByOne = field(init=False)
    escalate: EscalateHandler = field(init=False)
    alerts: list[Alert] = field(default_factory=list)
    outcomes: list[Routed | Review] = field(default_factory=list)
    escalated: int = 0
    now: float = 0.0
    """Seconds; every look at the clock is a millisecond."""

    def look(self) -> float:
        self.now += 0.001
        return self.now

    async def run(self, count: int) -> list[Alert]:
        """Send so many tickets, and return the alerts."""
        before = len(self.alerts)
        lines = [line for line in DEMO.read_bytes().splitlines() if line.strip()]
        slots = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.gather(*(self._one(lines[number % len(lines)], slots) for number in range(count)))
        return self.alerts[before:]

    async def _one(self, line: bytes, slots: asyncio.Semaphore) -> None:
        ticket = Ticket.decode(line).model_copy(update={"ticket_id": secrets.token_hex(8)})
        async with slots:
            message = self._take(await self.classify(Arrival(ticket, Turn())))
            assert isinstance(message, Classification)
            message = self._take(await self.score(message))
            if isinstance(message, Escalation):
                self.escalated += 1
                message = self._take(await self.escalate(message))
            assert isinstance(message, Routed | Review)
            self.outcomes.append(message)

    def _take(self, messages: Sequence[Message]) -> Message:
        first, *alerts = messages
        self.alerts += [alert for alert in alerts if isinstance(alert, Alert)]
        assert len(alerts) == sum(isinstance(alert, Alert) for alert in alerts)
        return first

    @property
    def unscored_accepts(self) -> int:
        return sum(
            isinstance(outcome, Routed) and not isinstance(outcome.calls[-1].signal, Scored)
            for outcome in self.outcomes
        )


@pytest.fixture
async def pipeline(model_server: ModelServer) -> AsyncIterator[Pipeline]:
    labels, policy = LabelSet(model_server.labels), Policy(max_escalations_per_hour=MOST)
    contracts = Contracts.model_validate(
        {"contracts": [sandbox_contract("cheap", "sandbox-cheap"), sandbox_contract("big", "sandbox-big")]}
    )
    pipeline = Pipeline()
    clock = Clock(pipeline.look, lambda: 1_790_000_000_000 + int(pipeline.now * 1000))
    guards = Guards(contracts, LIMITS, policy.max_escalations_per_hour, clock)
    endpoints = {tier: Endpoint(base_url=model_server.url, model=f"sandbox-{tier}") for tier in TIERS}
    async with (
        ModelClient("cheap", endpoints["cheap"], labels) as cheap,
        ModelClient("big", endpoints["big"], labels) as big,
    ):
        checks = {tier: guards.decisions(tier, f"sandbox-{tier}").check for tier in TIERS}
        pipeline.classify = ClassifyHandler(
            guards.guarded(TierModel(cheap, None)).ask, guards.escalates, policy, len(labels)
        )
        score = ScoreHandler(policy, len(labels), check=checks["cheap"], stale=lambda: False)
        pipeline.score = OneByOne(score, guards.may_escalate)
        pipeline.escalate = EscalateHandler(
            guards.guarded(TierModel(big, None)).ask, policy, len(labels), check=checks["big"], stale=lambda: False
        )
        yield pipeline
    await model_server.set_faults([])


@pytest.mark.parametrize("fault", FAULTS)
async def test_some_calls_then_every_call(pipeline: Pipeline, model_server: ModelServer, fault: str) -> None:
    await model_server.set_faults([f"cheap:{fault}=0.3"])
    some = [alert for alert in await pipeline.run(150) if alert.source == "cheap:sandbox-cheap"]
    assert [(alert.kind, alert.details["reason"]) for alert in some] == [("signal_outage", FAULTS[fault])]
    assert some[0].details["window"] <= LIMITS.window

    asked = (await model_server.stats())["models"]["sandbox-cheap"]["requests"]
    await model_server.set_faults([f"cheap:{fault}=1"])
    every = [alert for alert in await pipeline.run(150) if alert.source == "cheap:sandbox-cheap"]
    assert [alert.kind for alert in every] == ["contract_changed"]
    assert every[0].details["breaker"] == "open"
    assert every[0].details["run"] <= LIMITS.window
    # Those that found it out, those in flight meanwhile, and none after them.
    paid = (await model_server.stats())["models"]["sandbox-cheap"]["requests"] - asked
    assert paid <= every[0].details["run"] + IN_FLIGHT
    assert pipeline.unscored_accepts == 0
    assert pipeline.escalated == MOST
    assert Counter(alert.kind for alert in pipeline.alerts)["escalation_budget"] == 1
    assert len(pipeline.outcomes) == 300


async def test_an_endpoint_that_is_well_again_is_asked_again(pipeline: Pipeline, model_server: ModelServer) -> None:
    await model_server.set_faults(["cheap:logprobs_null=1"])
    await pipeline.run(50)
    await model_server.set_faults([])
    assert await pipeline.run(10) == []  # not before the next trial is due
    pipeline.now += LIMITS.trial_every_s
    asked = (await model_server.stats())["models"]["sandbox-cheap"]["requests"]
    # One trial after the other; nobody waits for them, so tickets that come meanwhile are held back.
    trials = [alert.kind for _ in range(LIMITS.trials_to_close) for alert in await pipeline.run(1)]
    assert trials == ["recovered"]
    await pipeline.run(50)
    assert (await model_server.stats())["models"]["sandbox-cheap"]["requests"] - asked == 53


async def test_no_fault_no_alert(pipeline: Pipeline) -> None:
    assert {alert.kind for alert in await pipeline.run(100)} <= {"escalation_budget"}


async def test_another_model_is_told_and_never_accepted(pipeline: Pipeline, model_server: ModelServer) -> None:
    await model_server.set_faults(["wrong_model=0.3"])
    alerts = await pipeline.run(100)
    assert {(alert.kind, alert.source) for alert in alerts} >= {("model_not_allowed", "cheap:sandbox-cheap")}
    accepted = [outcome.calls[-1].model_returned or "" for outcome in pipeline.outcomes if isinstance(outcome, Routed)]
    assert accepted
    assert all(model.startswith(("sandbox-cheap", "sandbox-big")) for model in accepted)


def test_no_logprob_fault_of_the_server_is_left_out() -> None:
    assert {fault for fault in FaultName if "logprob" in fault or fault == "truncated_k"} == set(FAULTS)

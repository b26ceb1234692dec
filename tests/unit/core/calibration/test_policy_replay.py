"""A replay decides what the agents decide: the same records through the handlers, with the recorded answers as models."""

from __future__ import annotations

import random

import pytest

from schemas import Call, Classification, Escalation, Message, Review, Routed, Turn
from streams.agents.arrival import Arrival
from streams.core.calibration.policy_replay import Outcome, replay
from streams.core.calibration.records import Record
from streams.core.policy.calibration_map import Isotonic, Temperature
from streams.core.policy.policy import BigRule, Calibration, CheapRule, Policy
from tests.support.answers import BIG_USD, CHEAP_USD, records
from tests.support.handlers import classify, escalate, score
from tests.support.messages import LABELS, scored, unscorable

ROWS = records(60)
FAULTY = [
    row.model_copy(
        update={
            "cheap": row.cheap.model_copy(update={"signal": unscorable(label="refund")}) if place % 3 else row.cheap,
            "big": row.big.model_copy(update={"signal": unscorable()}) if place % 2 else row.big,
        }
    )
    for place, row in enumerate(records(30, seed=1))
]


def some_policy(seed: int) -> Policy:
    chance = random.Random(seed)
    draw = chance.random
    return Policy(
        id=f"policy-{seed}",
        calibration=Calibration(
            cheap=chance.choice([None, Temperature(temperature=0.5 + draw())]),
            big=chance.choice([None, Isotonic(shown=(0.3, 0.9), right=(0.4, 0.99))]),
        ),
        cheap=CheapRule(
            max_chars=chance.choice([None, 0, 60, 150]),
            min_confidence=draw(),
            max_entropy=1.2 * draw(),
            abstain_entropy=chance.choice([None, 1.2 * draw()]),
        ),
        big=BigRule(min_confidence=draw(), max_entropy=1.2 * draw(), disagreement_entropy=1.2 * draw()),
        audit_share=chance.choice([0.0, 0.3]),
    )


async def by_the_agents(policy: Policy, row: Record) -> Routed | Review:
    """Send one ticket through the handlers."""

    async def cheap(text: str) -> Call:
        assert text == row.ticket.text
        return row.cheap

    async def big(text: str) -> Call:
        assert text == row.ticket.text
        return row.big

    message: Message = row.ticket
    (message,) = await classify(cheap, policy)(Arrival(row.ticket, Turn()))
    if isinstance(message, Classification):
        (message,) = score(policy, len(LABELS))(message)
    if isinstance(message, Escalation):
        (message,) = await escalate(big, policy, len(LABELS))(message)
    assert isinstance(message, Routed | Review)
    return message


@pytest.mark.parametrize("seed", range(25))
async def test_a_replay_ends_every_ticket_where_the_agents_end_it(seed: int) -> None:
    policy = some_policy(seed)
    rows = ROWS + FAULTY
    for row, outcome in zip(rows, replay(policy, rows), strict=True):
        end = await by_the_agents(policy, row)
        calls = end.calls
        assert outcome.cost_usd == pytest.approx(sum(one.cost_usd for one in calls))
        assert outcome.escalated == any(one.tier == "big" for one in calls)
        if isinstance(end, Review):
            assert (outcome.end, outcome.label, outcome.confidence) == ("review", None, None)
        else:
            assert (outcome.end, outcome.label) == (end.decided_by, end.label)
            assert outcome.confidence == end.confidence


def only(policy: Policy, row: Record) -> Outcome:
    (outcome,) = replay(policy, [row])
    return outcome


def test_a_ticket_straight_to_the_big_tier_pays_no_cheap_call() -> None:
    outcome = only(Policy(cheap=CheapRule(max_chars=0)), ROWS[0])
    assert outcome.escalated
    assert outcome.cost_usd == pytest.approx(BIG_USD)


def test_an_abstention_pays_no_big_call() -> None:
    outcome = only(Policy(cheap=CheapRule(abstain_entropy=0.0)), ROWS[0])
    assert (outcome.end, outcome.escalated, outcome.accepted) == ("review", False, False)
    assert outcome.cost_usd == pytest.approx(CHEAP_USD)


def test_right_is_known_for_an_accepted_label_with_gold_only() -> None:
    sure = ROWS[0].cheap.model_copy(update={"signal": scored("refund")})
    row = ROWS[0].model_copy(update={"cheap": sure})
    for gold, right in (("refund", True), ("account", False), (None, None)):
        labelled = row.model_copy(update={"ticket": row.ticket.model_copy(update={"label": gold})})
        assert only(Policy(), labelled).right is right
        assert only(Policy(cheap=CheapRule(abstain_entropy=0.0)), labelled).right is None

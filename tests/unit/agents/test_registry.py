"""The registry of agents says what their handlers take and return, which the type checker holds them to."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from schemas import TOPICS, Probe, Routed
from streams.agents.announce import AnnounceHandler, Arrived
from streams.agents.arrival import Arrival
from streams.agents.cause import CauseHandler
from streams.agents.drift import DriftHandler
from streams.agents.drift_memory import Placed
from streams.agents.escalate import EscalateHandler
from streams.agents.notify import NotifyHandler
from streams.agents.registry import (
    AGENTS,
    FLEET_TOPIC,
    KEEPERS,
    MEMORY_TOPIC,
    MESSENGERS,
    SPENDERS,
    TIERS,
    USES,
    WATCHERS,
    AgentName,
    topics_of,
)
from streams.agents.review import ReviewHandler
from streams.agents.score import ScoreHandler
from streams.agents.settle import Forgotten, SettleHandler
from streams.agents.tier_zero import TierZeroHandler
from streams.agents.traffic import TrafficHandler

HANDLERS: dict[AgentName, type] = {
    "classify": TierZeroHandler,  # the widest form of it
    "score": ScoreHandler,
    "escalate": EscalateHandler,
    "review": ReviewHandler,
    "drift": DriftHandler,
    "traffic": TrafficHandler,
    "settle": SettleHandler,
    "cause": CauseHandler,
    "notify": NotifyHandler,
    "announce": AnnounceHandler,
}
TOPOLOGY = (Path(__file__).parents[3] / "topology.md").read_text(encoding="utf-8")
TOPIC_OF: dict[Any, str] = {topic.message: topic.name for topic in TOPICS.values()}
TAKES: dict[Any, str] = TOPIC_OF | {
    Arrival: "tickets",
    Probe | Placed: "probes",
    Routed | Forgotten: "routed",
    Arrived: "reviews",
}


def hints(agent: AgentName) -> dict[str, Any]:
    return get_type_hints(HANDLERS[agent].__call__)


def test_every_agent_is_in_the_registry() -> None:
    assert tuple(USES) == AGENTS + KEEPERS + WATCHERS + MESSENGERS == get_args(AgentName)
    assert HANDLERS.keys() == USES.keys()


@pytest.mark.parametrize("agent", USES)
def test_an_agent_writes_what_its_handler_returns_and_dead_letters(agent: AgentName) -> None:
    returned = get_args(hints(agent)["return"])
    messages = [message for each in returned for message in get_args(each) or (each,)]
    # The review agent's alerts are about its queue, and no message leads to them; nor to what workers tell one another.
    more = {"alerts"} if agent == "review" else {FLEET_TOPIC} if agent in SPENDERS else set()
    assert USES[agent].writes == {TOPIC_OF[message] for message in messages} | {"dead-letters"} | more


@pytest.mark.parametrize("agent", USES)
def test_an_agent_reads_what_its_handler_takes(agent: AgentName) -> None:
    assert USES[agent].reads == TAKES[hints(agent)["message"]]


@pytest.mark.parametrize("agent", USES)
def test_the_agents_of_tickets_and_traffic_follow_the_alerts_and_those_with_budgets_the_fleet(agent: AgentName) -> None:
    assert USES[agent].follows - {MEMORY_TOPIC} == ({"alerts"} if agent in {*AGENTS, "traffic"} else set()) | (
        {FLEET_TOPIC} if agent in SPENDERS else set()
    )
    if "stale" in inspect.signature(HANDLERS[agent]).parameters:
        assert "alerts" in USES[agent].follows


def test_the_agents_that_ask_a_model_follow_the_memory() -> None:
    assert {agent for agent, use in USES.items() if MEMORY_TOPIC in use.readable} == TIERS.keys()


def table(section: str) -> list[list[str]]:
    """The cells of the first table in a section of topology.md, without its head."""
    text = TOPOLOGY.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def agents_in(cell: str) -> set[str]:
    """The agents that a cell names; commands, which stand in backticks, are none."""
    names = re.sub(r"`[^`]*`", "", cell).replace(",", " ").split()
    return set(USES) if names == ["every", "agent"] else USES.keys() & set(names)


def test_topology_says_who_writes_and_reads_each_topic() -> None:
    said = {name.strip("`"): (agents_in(written), agents_in(read)) for name, _, written, read, *_ in table("Topics")}
    assert said == {
        topic: (
            {agent for agent, use in USES.items() if topic in use.writes},
            {agent for agent, use in USES.items() if topic in use.readable},
        )
        for topic in TOPICS
    }


def test_topology_says_what_each_agent_reads() -> None:
    agents = AGENTS + KEEPERS
    assert {agent: reads for agent, reads, *_ in table("Agents")} == {agent: USES[agent].reads for agent in agents}


def test_topics_of_some_agents() -> None:
    assert topics_of(["review"]) == ["reviews", "dead-letters", "alerts"]
    assert set(topics_of(AGENTS)) == TOPICS.keys() - {"verdicts", "probes"}

"""The registry of agents says what their handlers take and return, which the type checker holds them to."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from schemas import TOPICS
from streams.agents.cause import CauseHandler
from streams.agents.classify import ClassifyHandler
from streams.agents.drift import DriftHandler
from streams.agents.escalate import EscalateHandler
from streams.agents.registry import AGENTS, USES, WATCHERS, AgentName, topics_of
from streams.agents.review import ReviewHandler
from streams.agents.score import ScoreHandler
from streams.agents.traffic import TrafficHandler

HANDLERS: dict[AgentName, type] = {
    "classify": ClassifyHandler,
    "score": ScoreHandler,
    "escalate": EscalateHandler,
    "review": ReviewHandler,
    "drift": DriftHandler,
    "traffic": TrafficHandler,
    "cause": CauseHandler,
}
TOPIC_OF = {topic.message: topic.name for topic in TOPICS.values()}


def hints(agent: AgentName) -> dict[str, Any]:
    return get_type_hints(HANDLERS[agent].__call__)


def test_every_agent_is_in_the_registry() -> None:
    assert tuple(USES) == AGENTS + WATCHERS == get_args(AgentName)
    assert HANDLERS.keys() == USES.keys()


@pytest.mark.parametrize("agent", USES)
def test_an_agent_writes_what_its_handler_returns_and_dead_letters(agent: AgentName) -> None:
    returned = get_args(hints(agent)["return"])
    messages = [message for each in returned for message in get_args(each) or (each,)]
    assert USES[agent].writes == {TOPIC_OF[message] for message in messages} | {"dead-letters"}


def test_topics_of_some_agents() -> None:
    assert topics_of(["review"]) == ["reviews", "dead-letters"]
    assert set(topics_of(AGENTS)) == TOPICS.keys() - {"verdicts", "probes"}

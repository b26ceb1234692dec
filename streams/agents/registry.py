"""Which agents there are, and what each of them reads and writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from schemas import TOPICS

AgentName = Literal["classify", "score", "escalate", "review", "drift", "traffic", "cause"]
#: The agents that tickets pass through.
AGENTS: tuple[AgentName, ...] = ("classify", "score", "escalate", "review")
#: The agents that watch the models and the tickets; they run where endpoints are probed.
WATCHERS: tuple[AgentName, ...] = ("drift", "traffic", "cause")


#: Which topic each of the agents that tickets pass through reads.
READS: dict[AgentName, str] = {
    "classify": "tickets",
    "score": "classifications",
    "escalate": "escalations",
    "review": "reviews",
}


@dataclass(frozen=True, slots=True)
class TopicUse:
    """The topics that one agent reads and writes."""

    reads: frozenset[str]
    writes: frozenset[str]


def _use(reads: Iterable[str], *writes: str) -> TopicUse:
    return TopicUse(frozenset(reads), frozenset({*writes, "dead-letters"}))


#: score and escalate read the alerts, outside any group, to know whether their policy is stale.
USES: dict[AgentName, TopicUse] = {
    "classify": _use(["tickets"], "classifications", "escalations", "reviews", "alerts"),
    "score": _use(["classifications", "alerts"], "routed", "escalations", "reviews", "alerts"),
    "escalate": _use(["escalations", "alerts"], "routed", "reviews", "alerts"),
    "review": _use(["reviews"]),
    "drift": _use(["probes"], "alerts"),
    "traffic": _use(["classifications"], "alerts"),
    "cause": _use(["alerts"], "alerts"),
}


def topics_of(agents: Iterable[AgentName]) -> list[str]:
    """Return every topic that one of these agents reads or writes, in the registry's order."""
    used = {topic for agent in agents for topic in USES[agent].reads | USES[agent].writes}
    return [topic for topic in TOPICS if topic in used]
